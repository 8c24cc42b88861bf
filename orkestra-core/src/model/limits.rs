//! Every limit of the engine, in one place, with the reason for its value.

use std::time::Duration;

/// The longest name of a workflow, node, task or signal, in bytes: names are repeated in every event.
pub const NAME_BYTES_MAX: usize = 128;

/// The longest run id, in bytes. Ids are keys of every store; 200 fits all of them with a prefix.
pub const RUN_ID_BYTES_MAX: usize = 200;

/// The longest key of a blob, in bytes: with the longest run id before it, it is a key that every store takes.
pub const BLOB_KEY_BYTES_MAX: usize = 400;

/// The longest key of a step, in bytes: keys stay in memory for as long as their run does.
pub const STEP_KEY_BYTES_MAX: usize = 512;

/// The largest payload that stands in an event as a user gave it, in bytes: a report, a value of a workflow's definition.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest payload that the runtime writes into the journal itself, in bytes; longer ones are kept beside it. Journals
/// are read whole at recovery, and every event passes through the memory of its run.
pub const PAYLOAD_INLINE_BYTES_MAX: usize = 256 * 1024;

/// The largest payload of a user, in bytes. A store is not a file store: what is larger belongs in a file or an object
/// store, with its address as the payload.
pub const PAYLOAD_LARGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest key of a slot, in bytes; a longer one is counted by its digest. Keys stand in the memory of every engine.
pub const SLOT_KEY_BYTES_MAX: usize = 1024;

/// How deep a payload nests. serde_json reads 127 levels: what a run puts around a payload, a list of several or an object of
/// outputs, must be readable too.
pub const PAYLOAD_DEPTH_MAX: usize = 120;

/// The most nodes of one plan, growth included. Wider work spreads over child runs.
pub const NODES_MAX: usize = 10_000;

/// The most edges of one plan.
pub const EDGES_MAX: usize = 200_000;

/// The longest text that is read as a workflow, in bytes: some ten thousand nodes written plainly. Texts come from
/// models and from outside, and what is read is held in memory several times over.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;

/// How deep such a text nests: twice what the deepest condition needs.
pub const DATA_DEPTH_MAX: usize = 64;

/// What the anchors and aliases of such a text may stand for, in bytes: enough for every node to share something, and
/// far from what a few lines of aliases of aliases can grow to.
pub const DATA_EXPANDED_MAX: usize = 4 * DATA_BYTES_MAX;

/// How deep a condition nests.
pub const CONDITION_DEPTH_MAX: usize = 16;

/// The largest value that a condition compares with, in bytes: it stands in the plan of every run, and is read each time.
pub const CONDITION_VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most meters that one charge names, and that one run has a budget for.
pub const METERS_MAX: usize = 64;

/// The most limits that one node is under.
pub const NODE_LIMITS_MAX: usize = 16;

/// The most signals that one run keeps unread. A run that nobody reads must not fill the store.
pub const SIGNALS_BUFFERED_MAX: usize = 10_000;

/// The most keys under which the tasks of one run publish values: all of them are in memory with the run.
pub const PUBLISHED_KEYS_MAX: usize = 1000;

/// The most letters that wait in the inbox of one run: a run that nobody drives must not fill the store.
pub const LETTERS_MAX: usize = 4096;

/// The largest letter, in bytes: the largest inline payload with what stands around it. Longer ones are kept beside it.
pub const LETTER_BYTES_MAX: usize = PAYLOAD_INLINE_BYTES_MAX + 64 * 1024;

/// How often one attempt may lose its process without finishing a step in between before it counts as failed: a task
/// that takes the process down must not do so for ever.
pub const INTERRUPTIONS_MAX: u32 = 16;

/// How long cancelled attempts may take to end by themselves.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// The most timers that one decision fires; the next decision takes the rest.
pub const TIMERS_PER_DECISION_MAX: usize = 256;

/// Inputs waiting for one run. Senders wait when it is full.
pub const MAILBOX_INPUTS_MAX: usize = 1024;

/// Decisions of one run that may be under way to the store at once.
pub const COMMITS_IN_FLIGHT_MAX: usize = 1024;

/// Commits waiting for the committer. Runs wait when it is full.
pub const COMMITTER_QUEUE_MAX: usize = 8192;

/// How long a store may go on failing before those who wait are told: restarts of databases and full disks that somebody
/// clears are over by then, mostly.
pub const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// The most commits of one durable write: bounds the memory of a batch and the time that its first commit waits.
pub const BATCH_COMMITS_MAX: usize = 4096;

/// The most bytes of one durable write, one commit may exceed it alone.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Commits that a reader takes from the store at a time.
pub const READ_COMMITS_MAX: usize = 512;

/// Records of runs that a pager takes from the store at a time: a database answers that many within milliseconds.
pub const READ_RECORDS_MAX: usize = 512;

/// The workflows that have a metric label of their own; those after them share one. A recorder keeps every label it saw.
pub const WORKFLOWS_MEASURED_MAX: usize = 256;

/// The longest text kept of a failure's message or backtrace, in bytes.
pub const FAILURE_TEXT_BYTES_MAX: usize = 64 * 1024;
