//! `POST /auth/register` and `POST /auth/login`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::App;
use super::accounts::{Grant, NewAccount};
use super::error::ApiError;
use super::extract::Body;

/// The longest valid email address has 254 bytes.
const EMAIL_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 200;
/// The length of the password in the documentation's example.
const PASSWORD_CHARACTERS_MIN: usize = 6;
/// A longer password would only slow down hashing.
const PASSWORD_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
pub(crate) struct Registration {
    email: String,
    password: String,
    organization_name: String,
}

/// Creates an account and its organisation. The key is shown only in this response.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Body(asked): Body<Registration>,
) -> Result<(StatusCode, Json<Grant>), ApiError> {
    let account = NewAccount {
        email: email(&asked.email)?,
        password: password(asked.password)?,
        organization_name: line("organization_name", &asked.organization_name, NAME_BYTES_MAX)?,
    };
    Ok((StatusCode::CREATED, Json(app.accounts.register(account).await?)))
}

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
}

/// Creates another key for an account.
pub(crate) async fn login(State(app): State<Arc<App>>, Body(asked): Body<Login>) -> Result<Json<Grant>, ApiError> {
    Ok(Json(app.accounts.login(&email(&asked.email)?, password(asked.password)?).await?))
}

/// The email only names the account: no email is sent, so any line of text is accepted.
///
/// NOTE: the documentation's Quick Start registers the text `[email protected]`, which a stricter rule would refuse. Only a
/// delivered message proves an address; an application that sends email should check it that way.
fn email(text: &str) -> Result<String, ApiError> {
    line("email", text, EMAIL_BYTES_MAX)
}

/// A trimmed, non-empty line of text.
fn line(field: &str, text: &str, bytes_max: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let wrong = match () {
        () if text.is_empty() => "must not be empty".to_owned(),
        () if text.len() > bytes_max => format!("must not be longer than {bytes_max} bytes"),
        () if text.chars().any(char::is_control) => "must not contain control characters".to_owned(),
        () => return Ok(text.to_owned()),
    };
    Err(ApiError::invalid(format!("{field}: it {wrong}")))
}

fn password(text: String) -> Result<String, ApiError> {
    if text.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(ApiError::invalid(format!("password: it must have at least {PASSWORD_CHARACTERS_MIN} characters")));
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::invalid(format!("password: it must have at most {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(text)
}
