# fish completion for access, printed by: access completion fish
#
# For this shell:      access completion fish | source
# For every shell:     access completion fish > ~/.config/fish/completions/access.fish
function __access_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c access -f -a '(__access_complete)'
