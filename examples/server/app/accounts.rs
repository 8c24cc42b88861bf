//! Accounts and API keys, stored as small values in the engine's store: an example of application data beside runs.
//!
//! ```text
//! server:account:{fingerprint of the email}   {email, password_hash (argon2), organization_name, org_id}
//! server:key:{fingerprint of the API key}     {org_id}
//! ```
//! Passwords and keys are never stored or logged. A crash between the two writes of a registration leaves an account without a
//! key; a login gives one.

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

/// How many passwords are hashed at a time: each takes 19 MiB and a whole core.
const HASHING_MAX: usize = 2;
/// How long a request waits for its turn to hash.
const HASHING_WAIT_MAX: Duration = Duration::from_secs(10);

/// The data of a new account, already validated.
pub(crate) struct NewAccount {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) organization_name: String,
}

/// The response to a registration or login, the only one that contains the key.
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
    /// A hash that matches no password, so that a login with an unknown email takes as long as one with a wrong password.
    decoy: String,
}

impl Accounts {
    /// The accounts in `store`.
    pub(crate) async fn new(store: Arc<dyn Store>) -> Result<Self, ApiError> {
        let mut accounts = Self { store, hashing: Arc::new(Semaphore::new(HASHING_MAX)), decoy: String::new() };
        accounts.decoy = accounts.hash(random_hex::<16>()?).await?;
        Ok(accounts)
    }

    /// Creates an account with its own organisation.
    pub(crate) async fn register(&self, account: NewAccount) -> Result<Grant, ApiError> {
        let taken = || ApiError::conflict("email_taken", "an account with this email already exists; log in instead");
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
        // With version 0, only one of two concurrent registrations of the same email succeeds.
        self.store.put(&place, 0, &json(&record)?).await?.ok_or_else(taken)?;
        self.grant(org_id).await
    }

    /// Checks the password and creates a new key. The error does not reveal whether the email or the password was wrong.
    pub(crate) async fn login(&self, email: &str, password: String) -> Result<Grant, ApiError> {
        let found = self.store.get(&account_key(email)).await?;
        let record: Option<AccountRecord> = found.map(|found| parsed(&found.bytes)).transpose()?;
        let hash = record.as_ref().map_or(&self.decoy, |record| &record.password_hash).clone();
        let is_right = self.verify(password, hash).await?;
        match record {
            Some(record) if is_right => self.grant(record.org_id).await,
            _ => Err(ApiError::unauthorized("wrong email or password")),
        }
    }

    /// The organisation of a key. It is looked up by the key's hash, so that timing reveals nothing about the key.
    pub(crate) async fn organisation(&self, api_key: &str) -> Result<Option<OrganisationId>, ApiError> {
        let Some(found) = self.store.get(&key_key(api_key)).await? else { return Ok(None) };
        let record: KeyRecord = parsed(&found.bytes)?;
        Ok(Some(record.org_id))
    }

    async fn grant(&self, org_id: OrganisationId) -> Result<Grant, ApiError> {
        let api_key = format!("sk_{}", random_hex::<32>()?);
        let record = KeyRecord { org_id: org_id.clone() };
        let written = self.store.put(&key_key(&api_key), 0, &json(&record)?).await?;
        written.ok_or_else(|| ApiError::internal(&"a new random key already exists"))?;
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

    /// Runs hashing, which is slow by design, off the threads that answer requests, and only a few at a time.
    async fn on_a_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(HASHING_WAIT_MAX, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ApiError::unavailable("busy", "too many logins at the moment; try again later"));
        };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
    }
}

/// The store key of an account. Emails are case-insensitive, and hashed so that any text fits into a store key.
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
