//! A trace: all that a process did to the files of a directory, in order.

use std::fmt;

/// A file or a directory, whatever its current name. Nodes are numbered in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(pub(super) usize);

/// The recorded directory. It was empty and durable at the beginning.
pub(super) const ROOT: Node = Node(0);

#[derive(Debug)]
pub(super) struct Trace {
    pub(super) records: Vec<Record>,
    /// Whether each node is a directory.
    pub(super) directories: Vec<bool>,
}

#[derive(Debug)]
pub(super) struct Record {
    /// The line of strace's log with which it ended. It is higher in each record than in the one before.
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A new process begins.
    Started,
    Write {
        file: Node,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// A file was truncated or extended.
    Length {
        file: Node,
        length: u64,
    },
    /// A node was created, renamed or removed. All of `names` change at once.
    Named {
        node: Node,
        names: Vec<Naming>,
    },
    /// An fsync or fdatasync has ended. It covers what had ended before the line with which it began.
    Synced {
        node: Node,
        began: usize,
    },
    /// A sync_file_range that waits for its writes has ended.
    Ranged {
        file: Node,
        from: u64,
        to: u64,
        began: usize,
    },
    /// The process wrote to its standard output, which is how it acknowledges.
    Output(String),
}

/// A name in a directory refers to this node from now on, or to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    pub(super) directory: Node,
    pub(super) name: String,
    pub(super) node: Option<Node>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.what {
            What::Started => write!(f, "a process begins"),
            What::Write { file, offset, bytes } => write!(f, "{} bytes to file {} at {offset}", bytes.len(), file.0),
            What::Length { file, length } => write!(f, "file {} gets {length} bytes", file.0),
            What::Named { names, .. } => write!(f, "names: {names:?}"),
            What::Synced { node, began } => {
                write!(f, "the sync of file {} ends, which began with line {began}", node.0)
            }
            What::Ranged { file, from, to, .. } => {
                write!(f, "sync_file_range of file {} from {from} to {to} ends", file.0)
            }
            What::Output(text) => write!(f, "output: {}", text.trim_end()),
        }
    }
}
