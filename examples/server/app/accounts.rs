//! Accounts and keys, kept as small values of the engine's own store: an example of an application's data beside runs.
//!
//! ```text
//! server:account:{fingerprint of the e-mail}  {email, password_hash (argon2), organization_name, org_id}
//! server:key:{fingerprint of the API key}     {org_id}
//! ```
//! Neither a password nor a key is ever stored or logged. A crash between the two writes of a registration leaves an
//! account without a key; logging in gives one.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use orkestra::store::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::organisation::OrganisationId;
use super::secret::{fingerprint, random_hex};

/// Passwords hashed at a time: each takes 19 MiB and a whole core.
const HASHING_MAX: usize = 2;
/// How long a request waits for its turn to hash.
const HASHING_WAIT_MAX: Duration = Duration::from_secs(10);

/// What a new account is made of; already checked.
pub(crate) struct NewAccount {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) organization_name: String,
}

/// What registering and logging in give. The only time that the key is shown.
#[derive(Serialize)]
pub(crate) struct Grant {
    api_key: String,
    org_id: OrganisationId,
}

#[derive(Serialize, Deserialize)]
struct AccountRecord {
    email: String,
    password_hash: String,
    organization_name: String,
    org_id: OrganisationId,
}

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    org_id: OrganisationId,
}

/// All accounts.
pub(crate) struct Accounts {
    store: Arc<dyn Store>,
    hashing: Arc<Semaphore>,
    /// The hash of no password: who logs in with an unknown e-mail waits as long as with a wrong password.
    decoy: String,
}

impl Accounts {
    /// The accounts in `store`.
    pub(crate) async fn new(store: Arc<dyn Store>) -> Result<Self, ApiError> {
        let mut accounts = Self { store, hashing: Arc::new(Semaphore::new(HASHING_MAX)), decoy: String::new() };
        accounts.decoy = accounts.hash(random_hex::<16>()?).await?;
        Ok(accounts)
    }

    /// Makes an account with an organisation of its own.
    pub(crate) async fn register(&self, account: NewAccount) -> Result<Grant, ApiError> {
        let taken = || ApiError::conflict("email_taken", "there is an account with this e-mail already");
        let place = account_key(&account.email);
        if self.store.get(&place).await?.is_some() {
            return Err(taken());
        }
        let org_id = OrganisationId::fresh()?;
        let record = AccountRecord {
            password_hash: self.hash(account.password).await?,
            email: account.email,
            organization_name: account.organization_name,
            org_id: org_id.clone(),
        };
        // The version 0 makes this the moment of decision: of two at once with one e-mail, one is refused.
        self.store.put(&place, 0, &json(&record)?).await?.ok_or_else(taken)?;
        self.grant(org_id).await
    }

    /// A new key for whoever knows the password. It does not tell an unknown e-mail from a wrong password.
    pub(crate) async fn login(&self, email: &str, password: String) -> Result<Grant, ApiError> {
        let found = self.store.get(&account_key(email)).await?;
        let record: Option<AccountRecord> = found.map(|found| parsed(&found.bytes)).transpose()?;
        let hash = record.as_ref().map_or(&self.decoy, |record| &record.password_hash).clone();
        let is_right = self.verify(password, hash).await?;
        match record {
            Some(record) if is_right => self.grant(record.org_id).await,
            _ => Err(ApiError::unauthorized("the e-mail or the password is wrong")),
        }
    }

    /// The organisation that a key belongs to. Found by the key's hash, so nothing is compared digit by digit.
    pub(crate) async fn organisation(&self, api_key: &str) -> Result<Option<OrganisationId>, ApiError> {
        let Some(found) = self.store.get(&key_key(api_key)).await? else { return Ok(None) };
        let record: KeyRecord = parsed(&found.bytes)?;
        Ok(Some(record.org_id))
    }

    async fn grant(&self, org_id: OrganisationId) -> Result<Grant, ApiError> {
        let api_key = format!("sk_{}", random_hex::<32>()?);
        let record = KeyRecord { org_id: org_id.clone() };
        let written = self.store.put(&key_key(&api_key), 0, &json(&record)?).await?;
        written.ok_or_else(|| ApiError::internal(&"two keys of 256 random bits are the same"))?;
        Ok(Grant { api_key, org_id })
    }

    async fn hash(&self, password: String) -> Result<String, ApiError> {
        let hash = self.on_a_thread(move || Argon2::default().hash_password(password.as_bytes())).await?;
        hash.map(|hash| hash.to_string()).map_err(|error| ApiError::internal(&error))
    }

    async fn verify(&self, password: String, hash: String) -> Result<bool, ApiError> {
        let verify = move || {
            let hash = PasswordHash::new(&hash)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        };
        let verified: Result<bool, argon2::password_hash::phc::Error> = self.on_a_thread(verify).await?;
        verified.map_err(|error| ApiError::internal(&error))
    }

    /// Hashing is slow on purpose: away from the threads that answer requests, and few at a time.
    async fn on_a_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(HASHING_WAIT_MAX, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ApiError::unavailable("busy", "too many are logging in"));
        };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
    }
}

/// Addresses are the same whatever their case; hashed, they fit a key of the store whatever is in them.
fn account_key(email: &str) -> String {
    format!("server:account:{}", fingerprint(&[&email.to_lowercase()]))
}

fn key_key(api_key: &str) -> String {
    format!("server:key:{}", fingerprint(&[api_key]))
}

fn json(record: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(record).map_err(|error| ApiError::internal(&error))
}

fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::internal(&error))
}
