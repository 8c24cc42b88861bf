//! What a backend brings so that a store can be kept in it: its name, its options, and how it is opened.

use std::fmt::Debug;

/// What an [`EmbeddedStore`](crate::EmbeddedStore) keeps runs in. A value of it holds the options that only this backend has.
///
/// The backends are those of this crate: other crates cannot add one.
pub trait EmbeddedBackend: sealed::Open + Clone + Debug + Default + Send + Sync + 'static {
    /// Its name, as messages and the file `FORMAT` spell it.
    const NAME: &'static str;
}

pub(crate) mod sealed {
    //! What only this crate can call.

    use std::path::Path;

    use orkestra_core::store::StoreError;

    use crate::kv::options::EmbeddedOptions;
    use crate::kv::shared::Opened;

    /// How a backend opens a store.
    pub trait Open: Sized {
        /// Opens the store in the directory `path`.
        fn open(options: &EmbeddedOptions<Self>, path: &Path) -> Result<Opened, StoreError>;
    }
}
