//! The interface of a backend of the embedded store: its name, its options, and how it opens a directory.

use std::fmt::Debug;

/// A backend of an [`EmbeddedStore`](crate::EmbeddedStore). A value of the type holds the options that only this
/// backend has.
///
/// This trait is sealed: only the backends of this crate implement it.
pub trait EmbeddedBackend: sealed::Open + Clone + Debug + Default + Send + Sync + 'static {
    /// The name of the backend, as used in messages and in the file `FORMAT`.
    const NAME: &'static str;
}

pub(crate) mod sealed {
    //! The part of the trait that only this crate can call.

    use std::path::Path;

    use orkestra_core::store::StoreError;

    use crate::kv::options::EmbeddedOptions;
    use crate::kv::shared::Opened;

    /// Opening a store.
    pub trait Open: Sized {
        /// Opens the store in the directory `path`.
        fn open(options: &EmbeddedOptions<Self>, path: &Path) -> Result<Opened, StoreError>;
    }
}
