//! Turns system calls into a trace. It follows which file each descriptor refers to, its position, and what every name
//! refers to.
//!
//! A call that may change a file in a way that is not handled here is an error. Nothing is ignored silently.

use std::collections::BTreeMap;

use super::strace::{Argument, Call, Reader};
use super::trace::{Naming, Node, ROOT, Record, Trace, What};

/// The calls that strace shows: all that can change a file, a name or a descriptor, and all that can start a process.
pub(super) const CALLS: &str = "trace=open,openat,openat2,creat,close,close_range,dup,dup2,dup3,fcntl,ioctl,read,readv,lseek,\
    write,writev,pwrite64,pwritev,pwritev2,sendfile,splice,copy_file_range,truncate,ftruncate,fallocate,\
    fsync,fdatasync,sync_file_range,sync,syncfs,msync,mmap,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat,io_setup,io_uring_setup,fork,vfork,clone,clone3,execve";

/// Makes a trace from a log of strace, whose first line has the number `first`. `root` is the recorded directory.
pub(super) fn follow(log: &str, first: usize, root: &str) -> Result<Trace, String> {
    let mut follower = Follower::new(root);
    let mut reader = Reader::default();
    for (number, line) in (first..).zip(log.lines()) {
        let read = reader.read(number, line).and_then(|call| call.map_or(Ok(()), |call| follower.call(call)));
        read.map_err(|why| format!("line {number}: {why}: {}", &line[..line.len().min(200)]))?;
    }
    Ok(Trace { records: follower.records, directories: follower.directories })
}

/// An open file, shared by duplicated descriptors.
struct Open {
    node: Node,
    position: u64,
    append: bool,
}

struct Follower {
    root: String,
    records: Vec<Record>,
    directories: Vec<bool>,
    /// The length of each node.
    lengths: Vec<u64>,
    /// What each path below the root refers to.
    names: BTreeMap<String, Node>,
    opens: Vec<Open>,
    /// The descriptors of the process that refer to something below the root: an index into `opens`, and the line since which
    /// they do.
    descriptors: BTreeMap<i64, (usize, usize)>,
}

impl Follower {
    fn new(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            records: Vec::new(),
            directories: vec![true],
            lengths: vec![0],
            names: BTreeMap::from([(String::new(), ROOT)]),
            opens: Vec::new(),
            descriptors: BTreeMap::new(),
        }
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        let Some(result) = call.result else {
            return self.cut(&call);
        };
        let done = u64::try_from(result).ok();
        match (call.name.as_str(), done) {
            (_, None) => Ok(()),
            ("execve", _) => {
                self.descriptors.clear();
                self.record(&call, What::Started);
                Ok(())
            }
            ("open" | "openat" | "creat", _) => self.open(&call, result),
            ("close", _) => {
                let closed = descriptor(&call, 0)?;
                // The number may have been given to another file while the call had not yet returned.
                if self.descriptors.get(&closed).is_some_and(|(_, since)| *since < call.began) {
                    self.descriptors.remove(&closed);
                }
                Ok(())
            }
            ("dup" | "dup2" | "dup3", _) => self.duplicate(&call, result),
            ("fcntl", _) => match call.word(1)? {
                command if command.starts_with("F_DUPFD") => self.duplicate(&call, result),
                "F_SETFL" if self.of(&call)?.is_some() => Err("F_SETFL of a file is not handled".into()),
                _ => Ok(()),
            },
            ("read" | "readv", Some(count)) => {
                // strace shows it raw, without the data.
                let open = call.number(0)?;
                if let Some((open, _)) = self.descriptors.get(&open.cast_signed()) {
                    self.opens[*open].position += count;
                }
                Ok(())
            }
            ("lseek", Some(position)) => {
                if let Some(open) = self.of(&call)? {
                    self.opens[open].position = position;
                }
                Ok(())
            }
            ("write" | "pwrite64", Some(count)) => self.write(call, count),
            ("ftruncate" | "fallocate", _) => self.length(&call),
            ("fsync" | "fdatasync" | "sync_file_range", _) => self.sync(&call),
            ("mkdir" | "mkdirat", _) => self.make_directory(&call),
            ("rename" | "renameat" | "renameat2", _) => self.rename(&call),
            ("unlink" | "rmdir", _) => self.remove(&call, &path(&call, 0)?),
            ("unlinkat", _) => self.remove(&call, &self.path_at(&call, 0)?),
            ("mmap", _) => harmless_map(&call),
            ("clone" | "clone3", _) if is_thread(&call) => Ok(()),
            ("writev" | "ioctl", _) if self.of(&call)?.is_none() => Ok(()),
            (name, _) => Err(format!("`{name}` is not handled")),
        }
    }

    /// A call during which the process ended. A sync does not count then. Whether a change was made is unknown.
    fn cut(&self, call: &Call) -> Result<(), String> {
        let harmless = match call.name.as_str() {
            "fsync" | "fdatasync" | "sync_file_range" | "close" | "fcntl" | "lseek" | "read" | "readv" | "mmap" => true,
            // To a pipe, not to a file below the root.
            "write" => self.of(call)?.is_none(),
            name => name.starts_with("clone"),
        };
        if harmless { Ok(()) } else { Err(CUT.into()) }
    }

    fn record(&mut self, call: &Call, what: What) {
        self.records.push(Record { line: call.ended, what });
    }

    /// The path below the root; `None` for one outside of it.
    fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.root)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// The open file that a call is made on, if it is below the root.
    fn of(&self, call: &Call) -> Result<Option<usize>, String> {
        let (_, shown) = call.descriptor(0)?;
        let open = self.descriptors.get(&descriptor(call, 0)?).map(|(open, _)| *open);
        // strace shows the path that the system knows: both must agree.
        if open.is_some() == self.inside(shown).is_some() {
            Ok(open)
        } else {
            Err("its descriptor is not known".into())
        }
    }

    fn path_at(&self, call: &Call, at: usize) -> Result<String, String> {
        let name = path(call, at + 1)?;
        if name.starts_with('/') {
            return Ok(name);
        }
        let (_, directory) = call.descriptor(at)?;
        Ok(format!("{directory}/{name}"))
    }

    fn open(&mut self, call: &Call, descriptor: i64) -> Result<(), String> {
        let (path, flags) = match call.name.as_str() {
            "openat" => (self.path_at(call, 0)?, call.word(2)?),
            "open" => (path(call, 0)?, call.word(1)?),
            _ => (path(call, 0)?, "O_WRONLY|O_CREAT|O_TRUNC"),
        };
        let Some(path) = self.inside(&path) else {
            self.descriptors.remove(&descriptor);
            return Ok(());
        };
        let flags: Vec<_> = flags.split('|').collect();
        if flags.contains(&"O_TMPFILE") {
            return Err("O_TMPFILE is not handled".into());
        }
        let node = match self.names.get(path).copied() {
            Some(node) => {
                if flags.contains(&"O_TRUNC") {
                    self.set_length(call, node, 0);
                }
                node
            }
            None if flags.contains(&"O_CREAT") => self.make(call, path, false)?,
            None => return Err("its file is not known".into()),
        };
        self.opens.push(Open { node, position: 0, append: flags.contains(&"O_APPEND") });
        self.descriptors.insert(descriptor, (self.opens.len() - 1, call.ended));
        Ok(())
    }

    fn duplicate(&mut self, call: &Call, result: i64) -> Result<(), String> {
        match self.of(call)? {
            Some(open) => self.descriptors.insert(result, (open, call.ended)),
            None => self.descriptors.remove(&result),
        };
        Ok(())
    }

    fn write(&mut self, mut call: Call, count: u64) -> Result<(), String> {
        let open = self.of(&call)?;
        let Argument::Text(mut bytes) = std::mem::replace(&mut call.arguments[1], Argument::Word(String::new())) else {
            return Err("it has no data".into());
        };
        bytes.truncate(usize::try_from(count).map_err(|error| error.to_string())?);
        let Some(open) = open else {
            if descriptor(&call, 0)? == 1 {
                self.record(&call, What::Output(String::from_utf8_lossy(&bytes).into_owned()));
            }
            return Ok(());
        };
        let open = &mut self.opens[open];
        let length = &mut self.lengths[open.node.0];
        let offset = match call.name.as_str() {
            "pwrite64" if open.append => {
                return Err("a write with an offset to a file opened with O_APPEND is not handled".into());
            }
            "pwrite64" => call.number(3)?,
            _ => {
                let offset = if open.append { *length } else { open.position };
                open.position = offset + count;
                offset
            }
        };
        *length = (*length).max(offset + count);
        let file = open.node;
        self.record(&call, What::Write { file, offset, bytes });
        Ok(())
    }

    fn length(&mut self, call: &Call) -> Result<(), String> {
        let open = self.of(call)?.ok_or("its descriptor is not known")?;
        let node = self.opens[open].node;
        let length = match call.name.as_str() {
            "ftruncate" => call.number(1)?,
            _ if call.word(1)? == "0" => self.lengths[node.0].max(call.number(2)? + call.number(3)?),
            _ => return Err("this mode of fallocate is not handled".into()),
        };
        self.set_length(call, node, length);
        Ok(())
    }

    fn set_length(&mut self, call: &Call, file: Node, length: u64) {
        if std::mem::replace(&mut self.lengths[file.0], length) != length {
            self.record(call, What::Length { file, length });
        }
    }

    fn sync(&mut self, call: &Call) -> Result<(), String> {
        let Some(open) = self.of(call)? else { return Ok(()) };
        let (node, began) = (self.opens[open].node, call.began);
        let what = if call.name == "sync_file_range" {
            let flags = call.word(3)?;
            if !(flags.contains("SYNC_FILE_RANGE_WRITE") && flags.contains("WAIT_AFTER")) {
                return Ok(());
            }
            let (from, length) = (call.number(1)?, call.number(2)?);
            // Zero means up to the end of the file.
            let to = if length == 0 { u64::MAX } else { from + length };
            What::Ranged { file: node, from, to, began }
        } else {
            What::Synced { node, began }
        };
        self.record(call, what);
        Ok(())
    }

    /// The directory that `path` is in, and the name in it.
    fn place(&self, path: &str) -> Result<(Node, String), String> {
        let (directory, name) = path.rsplit_once('/').ok_or("it changes the root itself")?;
        let node = *self.names.get(directory).ok_or("its directory is not known")?;
        Ok((node, name.to_owned()))
    }

    fn make(&mut self, call: &Call, path: &str, is_directory: bool) -> Result<Node, String> {
        let (directory, name) = self.place(path)?;
        let node = Node(self.directories.len());
        self.directories.push(is_directory);
        self.lengths.push(0);
        self.names.insert(path.to_owned(), node);
        self.record(call, What::Named { node, names: vec![Naming { directory, name, node: Some(node) }] });
        Ok(node)
    }

    fn make_directory(&mut self, call: &Call) -> Result<(), String> {
        let path = if call.name == "mkdir" { path(call, 0)? } else { self.path_at(call, 0)? };
        let Some(path) = self.inside(&path) else { return Ok(()) };
        self.make(call, path, true).map(drop)
    }

    fn rename(&mut self, call: &Call) -> Result<(), String> {
        let (from, to) = match call.name.as_str() {
            "rename" => (path(call, 0)?, path(call, 1)?),
            "renameat2" if !["0", "RENAME_NOREPLACE"].contains(&call.word(4)?) => {
                return Err("these flags of a rename are not handled".into());
            }
            _ => (self.path_at(call, 0)?, self.path_at(call, 2)?),
        };
        let (from, to) = match (self.inside(&from), self.inside(&to)) {
            (Some(from), Some(to)) => (from, to),
            (None, None) => return Ok(()),
            _ => return Err("it renames across the border of the root".into()),
        };
        let ((directory, name), (new_directory, new_name)) = (self.place(from)?, self.place(to)?);
        let node = *self.names.get(from).ok_or("it renames what is not known")?;
        let below = format!("{from}/");
        let moved = |path: &String, _: &mut Node| path == from || path.starts_with(&below);
        let moved: Vec<_> = self.names.extract_if(.., moved).collect();
        self.names.extend(moved.into_iter().map(|(path, node)| (format!("{to}{}", &path[from.len()..]), node)));
        let names = vec![
            Naming { directory, name, node: None },
            Naming { directory: new_directory, name: new_name, node: Some(node) },
        ];
        self.record(call, What::Named { node, names });
        Ok(())
    }

    fn remove(&mut self, call: &Call, path: &str) -> Result<(), String> {
        let Some(path) = self.inside(path) else { return Ok(()) };
        let (directory, name) = self.place(path)?;
        let node = self.names.remove(path).ok_or("it removes what is not known")?;
        self.record(call, What::Named { node, names: vec![Naming { directory, name, node: None }] });
        Ok(())
    }
}

/// Why a recording is unusable although nothing is wrong: it must be repeated.
pub(super) const CUT: &str = "the process ended during a change";

fn path(call: &Call, at: usize) -> Result<String, String> {
    Ok(String::from_utf8_lossy(call.text(at)?).into_owned())
}

fn descriptor(call: &Call, at: usize) -> Result<i64, String> {
    let (descriptor, _) = call.descriptor(at)?;
    descriptor.parse().map_err(|_| "its descriptor is not a number".into())
}

/// strace does not see what is written to a file through shared memory.
fn harmless_map(call: &Call) -> Result<(), String> {
    let flags = call.word(3)?;
    let shared = flags.contains("MAP_SHARED") && !flags.contains("MAP_ANONYMOUS");
    if shared { Err("a file may be written through memory".into()) } else { Ok(()) }
}

fn is_thread(call: &Call) -> bool {
    call.arguments.iter().any(|argument| matches!(argument, Argument::Word(word) if word.contains("CLONE_FILES")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records that a log makes, as text.
    fn records(lines: &[&str]) -> Result<Vec<String>, String> {
        let trace = follow(&lines.join("\n"), 1, "/s")?;
        let what = |record: &Record| record.to_string().split_once(": ").expect("a line has a number").1.to_owned();
        Ok(trace.records.iter().map(what).collect())
    }

    #[test]
    fn calls_make_records() {
        let log = [
            r#"1 execve("/bin/x", ["x"], 0x7 /* 2 vars */) = 0"#,
            r#"1 openat(AT_FDCWD</>, "/etc/x", O_RDONLY) = 3</etc/x>"#,
            r#"1 mkdir("/s/d", 0777) = 0"#,
            r#"1 openat(AT_FDCWD</>, "/s/d/f", O_RDWR|O_CREAT, 0666) = 4</s/d/f>"#,
            r#"1 write(4</s/d/f>, "abc", 3) = 3"#,
            r#"1 fcntl(4</s/d/f>, F_DUPFD_CLOEXEC, 3) = 5</s/d/f>"#,
            // Both descriptors share a position.
            r#"2 write(5</s/d/f>, "abcd", 4) = 2"#,
            r#"1 lseek(4</s/d/f>, 1, SEEK_SET) = 1"#,
            r#"1 read(0x4, 0x7ff, 0x2) = 0x2"#,
            r#"1 write(4</s/d/f>, "x", 1) = 1"#,
            r#"1 pwrite64(4</s/d/f>, "y", 1, 9) = 1"#,
            r#"1 write(1<pipe:[7]>, "> said <\n", 9) = 9"#,
            r#"1 openat(AT_FDCWD</>, "/s/d/f", O_WRONLY|O_APPEND) = 6</s/d/f>"#,
            r#"1 write(6</s/d/f>, "z", 1) = 1"#,
            r#"2 fdatasync(5</s/d/f> <unfinished ...>"#,
            r#"1 ftruncate(4</s/d/f>, 2) = 0"#,
            r#"2 <... fdatasync resumed>) = 0"#,
            r#"1 sync_file_range(4</s/d/f>, 0, 0, SYNC_FILE_RANGE_WRITE|SYNC_FILE_RANGE_WAIT_AFTER) = 0"#,
            r#"1 renameat(AT_FDCWD</>, "/s/d", AT_FDCWD</>, "/s/e") = 0"#,
            r#"1 unlinkat(7</s/e>, "f", 0) = 0"#,
        ];
        let expected = [
            "a process begins",
            r#"names: [Naming { directory: Node(0), name: "d", node: Some(Node(1)) }]"#,
            r#"names: [Naming { directory: Node(1), name: "f", node: Some(Node(2)) }]"#,
            "3 bytes to file 2 at 0",
            "2 bytes to file 2 at 3",
            "1 bytes to file 2 at 3",
            "1 bytes to file 2 at 9",
            "output: > said <",
            "1 bytes to file 2 at 10",
            "file 2 gets 2 bytes",
            "the sync of file 2 ends, which began with line 15",
            "sync_file_range of file 2 from 0 to 18446744073709551615 ends",
            r#"names: [Naming { directory: Node(0), name: "d", node: None }, Naming { directory: Node(0), name: "e", node: Some(Node(1)) }]"#,
            r#"names: [Naming { directory: Node(1), name: "f", node: None }]"#,
        ];
        let found = records(&log).expect("every call is handled");
        assert_eq!(found, expected);
    }

    #[test]
    fn a_number_is_given_again_before_its_close_has_returned() {
        let log = [
            r#"1 mkdir("/s/d", 0777) = 0"#,
            r#"1 openat(AT_FDCWD</>, "/s/d", O_RDONLY|O_DIRECTORY) = 4</s/d>"#,
            r#"1 close(4</s/d> <unfinished ...>"#,
            r#"2 openat(AT_FDCWD</>, "/s", O_RDONLY|O_DIRECTORY) = 4</s>"#,
            r#"1 <... close resumed>) = 0"#,
            r#"2 fsync(4</s>) = 0"#,
            r#"2 close(4</s> <unfinished ...>"#,
            r#"1 openat(AT_FDCWD</>, "/etc/x", O_RDONLY) = 4</etc/x>"#,
            r#"1 fcntl(4</etc/x>, F_GETFL) = 0"#,
            r#"2 <... close resumed>) = 0"#,
        ];
        let found = records(&log).expect("every call is handled");
        assert_eq!(found[1..], ["the sync of file 0 ends, which began with line 6"]);
    }

    #[test]
    fn a_call_that_is_not_handled_is_an_error() {
        for (line, why) in [
            (r#"1 mmap(NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 4</s/f>, 0) = 0x7f"#, "written through memory"),
            (r#"1 copy_file_range(4</s/f>, NULL, 5</s/g>, NULL, 9, 0) = 9"#, "`copy_file_range` is not handled"),
            (r#"1 write(4</s/f>, "x", 1) = 1"#, "its descriptor is not known"),
            (r#"1 openat(AT_FDCWD</>, "/s/f", O_RDWR) = 4</s/f>"#, "its file is not known"),
            (r#"1 clone(child_stack=NULL, flags=SIGCHLD) = 7"#, "`clone` is not handled"),
            (r#"1 rename("/s/f", "/f") = 0"#, "across the border"),
            (r#"1 mkdir("/s/d", 0777) = ?"#, CUT),
        ] {
            let error = records(&[line]).expect_err(line);
            assert!(error.contains(why), "{error}");
        }
    }
}
