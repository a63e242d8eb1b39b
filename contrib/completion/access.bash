# bash completion for access, printed by: access completion bash
#
# For this shell:      source <(access completion bash)
# For every shell:     access completion bash > ~/.local/share/bash-completion/completions/access
_access() {
	local line=${COMP_LINE:0:COMP_POINT} word typed split
	local -a words
	COMPREPLY=()
	read -ra words <<<"$line"
	case $line in *[[:space:]]) words+=("") ;; esac
	typed=${words[${#words[@]} - 1]}
	# bash takes words apart at : and =, and wants the last part alone.
	split=${typed%"${COMP_WORDS[COMP_CWORD]}"}
	while IFS=$'\t' read -r word _; do
		COMPREPLY+=("${word#"$split"}")
	done < <("$1" __complete "${words[@]:1}" 2>/dev/null)
	case ${COMPREPLY[0]} in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -o bashdefault -o default -F _access access
