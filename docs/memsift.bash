# bash completion for memsift
_memsift()
{
    local cur=${COMP_WORDS[COMP_CWORD]} options=
    if [[ ($COMP_CWORD -eq 1 || ${COMP_WORDS[1]} == help) && $cur != -* ]]; then
        COMPREPLY=($(compgen -W 'ps regions modules read search strings scan watch yara dump snapshot diff collect verify doctor help' -- "$cur"))
        return
    fi
    case ${COMP_WORDS[1]} in
    ps) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help' ;;
    regions) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --format --output --force --color --quiet --help' ;;
    modules) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help' ;;
    read) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --raw --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    search) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --hex --text --regex --ignore-case --utf16 --align --context --fail-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    strings) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --min --encoding --grep --plain --fail-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    scan) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --type --value --range --unknown --next --undo --list --count --unaligned --tolerance --session --compress --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    watch) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --interval --rounds --method --only --stats --on-change --dump-on --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    yara) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --context --fail-on-hit --rules --rule --define --tag --identifier --print-meta --print-tags --print-strings --print-namespace --timeout-per-process --keep-going --no-prefilter --profile --dump-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    dump) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --as --region --compress --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    snapshot) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --hash-only --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    diff) options=' --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --fail-on-hit --bytes --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    collect) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --pause --dump-process-memory --memory-search --memory-yara --dump-memory-region --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    verify) options=' --format --output --force --color --quiet --help' ;;
    doctor) options=' --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help' ;;
    help) options=' --as --help' ;;
    *) options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --pause --dump-process-memory --memory-search --memory-yara --dump-memory-region --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help' ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
    else
        # compgen -W expands its words like a command line, and a process chooses its
        # own name: only harmless ones are offered.
        mapfile -t COMPREPLY < <(
            compgen -f -- "$cur"
            compgen -W "$(grep -hsx '[[:alnum:]_][[:alnum:]_.+-]*' /proc/[0-9]*/comm)" -- "$cur")
    fi
}
complete -o filenames -F _memsift memsift
