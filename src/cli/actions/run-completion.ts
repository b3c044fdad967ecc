/**
 * `srudp completion`: prints a completion script for the shell. The scripts contain no commands or
 * options. They call `srudp __complete` at each use, like the scripts of cobra, and therefore
 * always match the program.
 */
import { usage } from "../options/operands.ts";

/** @returns the exit status */
export function runCompletion(shell: string): number {
  const script = SCRIPTS[shell];
  if (script === undefined) throw usage("Completion is for bash, zsh and fish");
  process.stdout.write(script);
  return 0;
}

/** For bash 3.2 and later. Does not need the package bash-completion. */
const BASH = `# srudp completion for bash: source <(srudp completion bash)
_srudp() {
  local rest=\${COMP_LINE:0:COMP_POINT} blank part kind= prefix= word description n
  local -a words=()
  # Bash also splits words at the characters of COMP_WORDBREAKS; = and : belong to the word here.
  for (( n = 0; n <= COMP_CWORD; n++ )); do
    blank=\${rest%%[![:space:]]*}
    rest=\${rest#"$blank"}
    part=\${COMP_WORDS[n]}
    (( n == COMP_CWORD )) && part=$rest
    if (( n == 0 )) || [[ -n $blank ]]; then words+=("$part")
    else words[\${#words[@]}-1]+=$part
    fi
    rest=\${rest#"$part"}
  done
  local current=\${words[\${#words[@]}-1]} breaks=\${COMP_WORDBREAKS//[!=:]/} done=
  # What stands before the last = or : stays as it is.
  [[ -n $breaks ]] && done=\${current%"\${current##*[$breaks]}"}
  COMPREPLY=()
  while IFS=$'\\t' read -r word description; do
    if [[ -z $kind ]]; then kind=$word prefix=$description
    else COMPREPLY+=("\${word#"$done"}")
    fi
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  local files=
  [[ $kind == files ]] && files=-f
  [[ $kind == folders ]] && files=-d
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    done=\${done#"$prefix"}
    while IFS= read -r word; do COMPREPLY+=("\${word#"$done"}"); done < <(compgen "$files" -- "\${current#"$prefix"}")
  fi
}
complete -F _srudp srudp
`;

/** Sourced after `compinit`, or installed as `_srudp` in a folder of `fpath`. */
const ZSH = `#compdef srudp
# srudp completion for zsh: source <(srudp completion zsh)
_srudp() {
  local line kind prefix
  local -a lines described
  lines=("\${(@f)$("\${(Q)words[1]}" __complete -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  kind=\${lines[1]%%$'\\t'*}
  prefix=\${lines[1]#*$'\\t'}
  for line in "\${(@)lines[2,-1]}"; do
    described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( $#described )) && _describe srudp described
  case $kind in
    files) compset -P "\${(b)prefix}"; _files ;;
    folders) compset -P "\${(b)prefix}"; _files -/ ;;
  esac
}
if [[ $funcstack[1] == _srudp ]]; then _srudp "$@"; else compdef _srudp srudp; fi
`;

const FISH = `# srudp completion for fish: srudp completion fish | source
function __srudp_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l program $words[1]
  set -e words[1]
  set -l lines (command $program __complete -- $words "$current" 2>/dev/null)
  set -l kind (string split -m 1 \\t -- $lines[1])
  set -e lines[1]
  printf '%s\\n' $lines
  if contains -- $kind[1] files folders
    set -l typed (string sub -s (math (string length -- "$kind[2]") + 1) -- "$current")
    for file in (if test $kind[1] = files; __fish_complete_path "$typed"; else; __fish_complete_directories "$typed"; end)
      printf '%s%s\\n' "$kind[2]" $file
    end
  end
end
complete -c srudp -f -a '(__srudp_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
