//! Ends what a sandbox started when its host process dies, however it dies. The guardian is a shell that waits for the end of
//! its input, which the host process holds open. It is not confined, so a command can neither signal it (Landlock scopes
//! signals) nor change its limits (the filter of system calls).
//!
//! The script is fixed and never sees anything that a command wrote, except for numbers in `/proc`.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::super::SandboxError;
use super::processes::Mark;

/// Kills all processes whose mark is from `$1` to `$2`, and removes the control groups `$4`… and the directory `$3`. A mark has 19
/// digits, which every shell compares as a number. In bash and dash, `kill` and `read` are builtins: it works when no process can be started.
const SCRIPT: &str = r#"
# The fields of `stat` from the state on; a process whose first thread alone has ended has more than one thread.
ended() { case $1 in Z | X) [ "${18}" -le 1 ] ;; *) false ;; esac; }
trap '' HUP INT QUIT PIPE TERM
read -r gone
low=$1 high=$2 directory=$3
shift 3
for group in "$@"; do echo 1 >"$group/cgroup.kill"; done
round=0
while [ "$round" -lt 1000 ]; do
  found=
  for process in /proc/[0-9]*; do
    mark=
    while read -r max file locks soft rest; do
      [ "$max $file $locks" = 'Max file locks' ] && mark=$soft && break
    done <"$process/limits"
    case $mark in [12]??????????????????) ;; *) continue ;; esac
    [ "$mark" -ge "$low" ] && [ "$mark" -le "$high" ] || continue
    read -r stat <"$process/stat"
    ended ${stat##*) } && continue
    kill -KILL "${process#/proc/}" && found=1
  done
  [ -n "$found" ] || break
  round=$((round + 1))
done
for group in "$@"; do rmdir "$group"/*/ "$group"; done
chmod -R u+rwx -- "$directory"
rm -rf -- "$directory"
"#;

/// A running guardian. Dropping it ends what the sandbox started, in the background.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Option<Child>,
    lifeline: Option<ChildStdin>,
}

impl Guardian {
    /// A guardian of this name, which removes the directory at the end.
    pub(crate) fn start(name: &str, mark: Mark, groups: &[PathBuf], directory: &Path) -> Result<Self, SandboxError> {
        let failed = |error: &dyn std::fmt::Display| {
            SandboxError::Failed(format!("cannot start the process that ends commands: {error}"))
        };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, name]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(mark.all().start().to_string()).arg(mark.all().end().to_string());
        command.arg(directory).args(groups);
        command.current_dir(Path::new("/")).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that Ctrl-C in a terminal does not reach it.
        let mut child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
            .spawn()
            .map_err(|error| failed(&error))?;
        let lifeline = child.stdin.take().ok_or_else(|| failed(&"it has no input"))?;
        Ok(Self { child: Some(child), lifeline: Some(lifeline) })
    }

    /// Ends what the sandbox started and waits for that.
    pub(super) fn end(&mut self) {
        drop(self.lifeline.take());
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Some(mut child) = self.child.take() {
            // Only to reap it; if no thread can be started, it stays a zombie until this process ends.
            let _ = std::thread::Builder::new().name("orkestra-guardian".to_owned()).spawn(move || child.wait());
        }
    }
}
