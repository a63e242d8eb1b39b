#compdef access
# zsh completion for access, printed by: access completion zsh
#
# For this shell:      source <(access completion zsh)
# For every shell:     access completion zsh > "${fpath[1]}/_access"
_access() {
	local line
	local -a lines described
	lines=("${(@f)$(${words[1]} __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	for line in $lines; do
		[[ -n $line ]] && described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done
	if (( $#described )); then
		_describe -t access access described
	else
		_files
	fi
}
if [[ $funcstack[1] == _access ]]; then
	_access "$@"
else
	compdef _access access
fi
