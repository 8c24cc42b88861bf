//! The names of the fallible async methods of a store.

use std::fmt;

/// An async method of [`Store`](crate::store::Store) that can fail. Displays as its Rust name: `put_blob`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreMethod {
    /// [`Store::append`](crate::store::Store::append).
    Append,
    /// [`Store::read`](crate::store::Store::read).
    Read,
    /// [`Store::record`](crate::store::Store::record).
    Record,
    /// [`Store::list`](crate::store::Store::list).
    List,
    /// [`Store::due`](crate::store::Store::due).
    Due,
    /// [`Store::claim`](crate::store::Store::claim).
    Claim,
    /// [`Store::renew`](crate::store::Store::renew).
    Renew,
    /// [`Store::release`](crate::store::Store::release).
    Release,
    /// [`Store::release_all`](crate::store::Store::release_all).
    ReleaseAll,
    /// [`Store::lease`](crate::store::Store::lease).
    Lease,
    /// [`Store::send`](crate::store::Store::send).
    Send,
    /// [`Store::letters`](crate::store::Store::letters).
    Letters,
    /// [`Store::discard`](crate::store::Store::discard).
    Discard,
    /// [`Store::put_snapshot`](crate::store::Store::put_snapshot).
    PutSnapshot,
    /// [`Store::snapshot`](crate::store::Store::snapshot).
    Snapshot,
    /// [`Store::delete`](crate::store::Store::delete).
    Delete,
    /// [`Store::put_blob`](crate::store::Store::put_blob).
    PutBlob,
    /// [`Store::blob`](crate::store::Store::blob).
    Blob,
    /// [`Store::blob_keys`](crate::store::Store::blob_keys).
    BlobKeys,
    /// [`Store::get`](crate::store::Store::get).
    Get,
    /// [`Store::put`](crate::store::Store::put).
    Put,
    /// [`Store::keys`](crate::store::Store::keys).
    Keys,
}

impl StoreMethod {
    /// Its Rust name: `put_blob`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Record => "record",
            Self::List => "list",
            Self::Due => "due",
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::ReleaseAll => "release_all",
            Self::Lease => "lease",
            Self::Send => "send",
            Self::Letters => "letters",
            Self::Discard => "discard",
            Self::PutSnapshot => "put_snapshot",
            Self::Snapshot => "snapshot",
            Self::Delete => "delete",
            Self::PutBlob => "put_blob",
            Self::Blob => "blob",
            Self::BlobKeys => "blob_keys",
            Self::Get => "get",
            Self::Put => "put",
            Self::Keys => "keys",
        }
    }
}

impl fmt::Display for StoreMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
