# bash completion for memsift
_memsift()
{
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local options= words= list= chosen=
    # bash makes three words of --name=value.
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}
    [[ $cur == = ]] && cur=
    case ${COMP_WORDS[1]} in
    ps)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    regions)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    modules)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    read)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --raw --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    search)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --hex --text --regex --ignore-case --utf16 --align --context --fail-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    strings)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --min --encoding --grep --plain --fail-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --encoding) list='ascii utf8 utf16le utf16be' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    scan)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --type --value --range --unknown --next --undo --list --count --unaligned --tolerance --session --compress --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --type) words='i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 bytes' ;;
        --compress) words='zstd' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    watch)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --interval --rounds --method --only --stats --on-change --dump-on --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --method) words='auto dirty soft-dirty compare' ;;
        --dump-on) words='exec' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    yara)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --context --fail-on-hit --rules --rule --define --tag --identifier --print-meta --print-tags --print-strings --print-namespace --timeout-per-process --keep-going --no-prefilter --profile --dump-on-hit --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --dump-on-hit) words='region process' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    dump)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --as --region --compress --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --as) words='core raw' ;;
        --compress) words='zstd' ;;
        --pause) words='none freeze fork' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    snapshot)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --hash-only --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --compress) words='zstd' ;;
        --pause) words='none freeze fork' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    diff)
        options=' --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --fail-on-hit --bytes --pause --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --memory-regions) list='heap stack code mapped other all' ;;
        --pause) words='none freeze fork' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    collect)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --pause --dump-process-memory --memory-search --memory-yara --dump-memory-region --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --compress) words='zstd' ;;
        --pause) words='none freeze fork' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    verify)
        options=' --format --output --force --color --quiet --help'
        case $before in
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    doctor)
        options=' --from --backend --device --memprocfs-path --dtb --memmap --pagefile --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    help)
        options=' --as --help'
        case $before in
        --as) words='text man bash zsh fish' ;;
        esac ;;
    *)
        options=' --pid --process --all --exclude --tree --user --include-system-processes --from --backend --device --memprocfs-path --dtb --memmap --pagefile --memory-regions --perm --address --ignore --min-size --max-size --path --include-device --include-swapped --compress --pause --dump-process-memory --memory-search --memory-yara --dump-memory-region --timeout --max-memory-size --max-process-size --max-hits --threads --format --output --force --color --quiet --help'
        case $before in
        --backend) words='auto native memprocfs' ;;
        --memory-regions) list='heap stack code mapped other all' ;;
        --compress) words='zstd' ;;
        --pause) words='none freeze fork' ;;
        --format|-f) words='text json ndjson csv' ;;
        --color) words='auto always never' ;;
        esac ;;
    esac
    if [[ $list && $cur == *,* ]]; then
        chosen=${cur%,*},
    fi
    if [[ $words$list ]]; then
        compopt +o filenames 2>/dev/null # a folder may have the name of a word
        mapfile -t COMPREPLY < <(
            compgen -W "$words$list" -P "$chosen" -- "${cur#"$chosen"}")
    elif [[ ($COMP_CWORD -eq 1 || ${COMP_WORDS[1]} == help) && $cur != -* ]]; then
        COMPREPLY=($(compgen -W 'ps regions modules read search strings scan watch yara dump snapshot diff collect verify doctor help' -- "$cur"))
    elif [[ $cur == -* ]]; then
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
