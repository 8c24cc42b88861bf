//! Every limit of the engine, in one place, with the reason for its value.

use std::time::Duration;

/// The maximum length of the name of a workflow, node, task or signal, in bytes: every event repeats names.
pub const NAME_BYTES_MAX: usize = 128;

/// The maximum length of a run id, in bytes. Ids are keys in every store; 200 fits all of them with a prefix.
pub const RUN_ID_BYTES_MAX: usize = 200;

/// The maximum length of a blob's key, in bytes: every store accepts it as a key after the longest run id.
pub const BLOB_KEY_BYTES_MAX: usize = 400;

/// The maximum length of a step's key, in bytes: keys stay in memory as long as their run.
pub const STEP_KEY_BYTES_MAX: usize = 512;

/// The maximum size of a payload that a user puts directly into an event, in bytes: a report, a value in a workflow's
/// definition.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The maximum size of a payload that the runtime writes into the journal itself, in bytes; larger ones are kept beside
/// it. Recovery reads whole journals, and every event passes through the memory of its run.
pub const PAYLOAD_INLINE_BYTES_MAX: usize = 256 * 1024;

/// The maximum size of a user's payload, in bytes. The store is not a file store: keep larger data in files or an
/// object store and pass its address.
pub const PAYLOAD_LARGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The maximum length of a slot's key, in bytes; a longer key is replaced by its digest. Every engine keeps keys in
/// memory.
pub const SLOT_KEY_BYTES_MAX: usize = 1024;

/// How deep a payload may nest. serde_json reads 127 levels, and what a run wraps around a payload, such as a list or
/// an object of outputs, must be readable too.
pub const PAYLOAD_DEPTH_MAX: usize = 120;

/// The maximum number of nodes of one plan, including growth. Use child runs for more.
pub const NODES_MAX: usize = 10_000;

/// The maximum number of edges of one plan.
pub const EDGES_MAX: usize = 200_000;

/// The maximum length of a text that is read as a workflow, in bytes: about ten thousand plain nodes. Texts come from
/// models and from outside, and reading holds several copies in memory.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;

/// How deep such a text nests: twice what the deepest condition needs.
pub const DATA_DEPTH_MAX: usize = 64;

/// The maximum total size of anchored values and expanded aliases in such a text, in bytes: every node can share
/// something, but a few lines of nested aliases cannot grow without bound.
pub const DATA_EXPANDED_MAX: usize = 4 * DATA_BYTES_MAX;

/// How deep a condition may nest.
pub const CONDITION_DEPTH_MAX: usize = 16;

/// The maximum size of a value that a condition compares with, in bytes: it is in the plan of every run, and is read
/// each time.
pub const CONDITION_VALUE_BYTES_MAX: usize = 64 * 1024;

/// The maximum number of meters that one charge names, and that one run has a budget for.
pub const METERS_MAX: usize = 64;

/// The maximum number of limits on one node.
pub const NODE_LIMITS_MAX: usize = 16;

/// The maximum number of unread signals that one run keeps: a run that reads none must not fill the store.
pub const SIGNALS_BUFFERED_MAX: usize = 10_000;

/// The maximum number of keys under which the tasks of one run publish values: all of them are in memory with the run.
pub const PUBLISHED_KEYS_MAX: usize = 1000;

/// The maximum number of letters in the inbox of one run: a run without a driver must not fill the store.
pub const LETTERS_MAX: usize = 4096;

/// The maximum size of a letter, in bytes: the largest inline payload plus what surrounds it. Larger payloads are kept
/// beside it.
pub const LETTER_BYTES_MAX: usize = PAYLOAD_INLINE_BYTES_MAX + 64 * 1024;

/// How many times in a row an attempt may lose its process without finishing a step before it counts as failed: a task
/// that crashes the process must not do so for ever.
pub const INTERRUPTIONS_MAX: u32 = 16;

/// How long cancelled attempts get to end by themselves.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// The maximum number of timers that one decision fires; the next decision takes the rest.
pub const TIMERS_PER_DECISION_MAX: usize = 256;

/// The maximum number of inputs queued for one run. Senders wait when the queue is full.
pub const MAILBOX_INPUTS_MAX: usize = 1024;

/// The maximum number of decisions of one run that are being written at once.
pub const COMMITS_IN_FLIGHT_MAX: usize = 1024;

/// The maximum number of commits queued for the committer. Runs wait when the queue is full.
pub const COMMITTER_QUEUE_MAX: usize = 8192;

/// How long a store may keep failing before callers get an error: most restarts of databases and full disks are over by
/// then.
pub const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// The maximum number of commits in one durable write: bounds the memory of a batch and the wait of its first commit.
pub const BATCH_COMMITS_MAX: usize = 4096;

/// The maximum size of one durable write, in bytes. A single commit may exceed it.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many commits a reader loads from the store at a time.
pub const READ_COMMITS_MAX: usize = 512;

/// How many records of runs a pager loads from the store at a time: a database answers that many within milliseconds.
pub const READ_RECORDS_MAX: usize = 512;

/// How many workflows get a metric label of their own; the rest share one. A recorder keeps every label it has seen.
pub const WORKFLOWS_MEASURED_MAX: usize = 256;

/// The maximum length of a failure's message or backtrace, in bytes.
pub const FAILURE_TEXT_BYTES_MAX: usize = 64 * 1024;
