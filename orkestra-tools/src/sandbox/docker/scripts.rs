//! The shell scripts that run in a container: the wrapper of a command, the search for what it left, and the probe.

/// Runs `$1` in its own session with mark `$2` in its environment, prints the session's id and its own first, and kills the session at the
/// end or when its own input closes (timeout, or our process has died). It closes its output, so that what the shell prints
/// about a killed child does not mix with the command's output. `kill` is a shell builtin, so it works in a container that has
/// reached its process limit. The watchdog repeats the kill until the child is gone: if our process dies at once, the child's
/// session may not exist yet at the first try. No `--` before the group: dash would parse it as a number and kill nothing.
pub(super) const WRAPPER: &str = r#"
exec 3<&0 </dev/null
ORKESTRA_SANDBOX="$2" setsid sh -c 'echo "$$ $2"; exec sh -c "$1"' sh "$1" "$$" 3<&- & child=$!
( exec >/dev/null 2>&1; read -r gone <&3; while kill -0 "$child"; do kill -KILL "-$child"; done ) & watchdog=$!
exec 3<&- >/dev/null 2>&1
wait "$child"; code=$?
kill -KILL "-$child" 2>/dev/null
kill -KILL "$watchdog" 2>/dev/null
wait "$watchdog"
exit "$code"
"#;

/// As [`WRAPPER`], but the command reads what this wrapper reads, through a pipe in `/tmp`. When the input ends, the command has `$3`
/// seconds to end by itself. The exit code 123 means that the pipe could not be made.
pub(super) const WRAPPER_PIPED: &str = r#"
exec 3<&0 </dev/null
pipe=/tmp/.orkestra-pipe-$2
rm -f "$pipe" && mkfifo "$pipe" || exit 123
ORKESTRA_SANDBOX="$2" setsid sh -c 'echo "$$ $3"; rm -f "$2"; exec sh -c "$1"' sh "$1" "$pipe" "$$" <"$pipe" 3<&- & child=$!
( exec >"$pipe" 2>/dev/null; ORKESTRA_SANDBOX="$2" cat <&3; exec >/dev/null; ORKESTRA_SANDBOX="$2" sleep "$3"
  while kill -0 "$child"; do kill -KILL "-$child"; done ) & watchdog=$!
exec 3<&- >/dev/null 2>&1
wait "$child"; code=$?
kill -KILL "-$child" 2>/dev/null
kill -KILL "$watchdog" 2>/dev/null
exit "$code"
"#;

/// Kills session `$1` and every process with mark `$2`, and prints `clean` once a search finds no more of them. With `$3`, when
/// no other command runs, it kills everything else too, whatever it did to its session and environment: all but this shell,
/// the init, and its first child, which keeps the container running. That child has the lowest number after the init's: numbers
/// that are used again begin at 300.
pub(super) const SWEEP: &str = r#"
exec 2>/dev/null
# The fields of `stat` from the state on; a process whose first thread alone has ended has more than one thread.
ended() { case $1 in Z | X) [ "${18}" -le 1 ] ;; *) false ;; esac; }
[ -z "$1" ] || kill -KILL "-$1"
round=0
if [ -n "$3" ]; then
  while [ "$round" -lt 200 ]; do
    # What was killed needs a moment to go.
    [ "$round" -lt 3 ] || sleep 0.02
    found= main=
    for process in /proc/[0-9]*; do
      process=${process#/proc/}
      [ "$process" -ne 1 ] && { [ -z "$main" ] || [ "$process" -lt "$main" ]; } && main=$process
    done
    for process in /proc/[0-9]*; do
      number=${process#/proc/}
      [ "$number" -eq 1 ] || [ "$number" -eq "$main" ] || [ "$number" -eq "$$" ] && continue
      read -r stat <"$process/stat" || continue
      ended ${stat##*) } && continue
      kill -KILL "$number" && found=1
    done
    [ -n "$found" ] || { echo clean; exit 0; }
    round=$((round + 1))
  done
  exit 1
fi
while [ "$round" -lt 10 ]; do
  found=
  for process in /proc/[0-9]*; do
    if tr '\0' '\n' <"$process/environ" | grep -qsxF "ORKESTRA_SANDBOX=$2"; then kill -KILL "${process#/proc/}"; found=1; fi
  done
  [ -n "$found" ] || { echo clean; exit 0; }
  round=$((round + 1))
done
exit 1
"#;

/// `$3` is the word by which the host knows this process. Its exit code says what the image or the mount lacks, and its output how system calls are filtered.
pub(super) const PROBE: &str = r#"
# While the host looks for this process (see `look.rs`).
echo "$$ $$"
read -r go
for program in setsid grep tr sleep; do command -v "$program" >/dev/null || exit 11; done
ORKESTRA_SANDBOX=probe setsid sh -c 'tr "\0" "\n" </proc/$$/environ | grep -qsxF ORKESTRA_SANDBOX=probe' || exit 11
[ -e "/workspace/$1" ] || exit 12
[ -w /workspace ] || exit 13
[ -w /tmp ] && [ -w "$HOME" ] || exit 14
grep -q '^Seccomp:.2' /proc/self/status && echo filtered
if chmod 644 "/workspace/$1"; then
  chmod 6755 "/workspace/$1" 2>/dev/null
  [ -u "/workspace/$1" ] || [ -g "/workspace/$1" ] || echo no-set-id
fi
[ -n "$2" ] || exit 0
[ -S /run/orkestra/proxy.sock ] || exit 16
python3 -I -S -c "$2" || exit $?
"#;

/// Waits for the forwarder, and asks the proxy behind it for an answer.
pub(super) const PROBE_PROXY: &str = r#"
import socket, sys, time
for attempt in range(100):
    try:
        connection = socket.create_connection(("127.0.0.1", 3128), 5)
        break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit(15)
connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
sys.exit(0 if connection.recv(12) == b"HTTP/1.0 404" else 16)
"#;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::WRAPPER;

    /// As when our process dies right after it started a command: the wrapper's input is closed from the start.
    #[test]
    fn a_command_is_killed_when_its_host_process_is_already_gone() {
        for _ in 0..40 {
            let mut wrapper = Command::new("sh");
            wrapper.args(["-c", WRAPPER, "sh", "sleep 2 & sleep 2; exit 0", "mark"]);
            let status = wrapper.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("there is a shell");
            assert_eq!(status.code(), Some(128 + 9), "it was killed before its end");
        }
    }
}
