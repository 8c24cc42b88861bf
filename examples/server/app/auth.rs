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

/// The longest address that mail can be sent to has 254 bytes.
const EMAIL_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 200;
/// As short as the documentation's own example.
const PASSWORD_CHARACTERS_MIN: usize = 6;
/// Longer ones would only make hashing slower.
const PASSWORD_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
pub(crate) struct Registration {
    email: String,
    password: String,
    organization_name: String,
}

/// Makes an account and its organisation. The key is shown here and never again.
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

/// Gives another key to whoever knows the password.
pub(crate) async fn login(State(app): State<Arc<App>>, Body(asked): Body<Login>) -> Result<Json<Grant>, ApiError> {
    Ok(Json(app.accounts.login(&email(&asked.email)?, password(asked.password)?).await?))
}

/// An e-mail is the name of an account here and nothing more: no mail is sent, so a line of text is all that it must be.
///
/// NOTE: the documentation's own Quick Start registers the text `[email protected]`, which no stricter rule takes. Only
/// a mail that arrives shows that an address is one; an application that sends mail checks it that way.
fn email(text: &str) -> Result<String, ApiError> {
    line("email", text, EMAIL_BYTES_MAX)
}

/// A line of text with something on it, without the white space at its ends.
fn line(field: &str, text: &str, bytes_max: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let wrong = match () {
        () if text.is_empty() => "is empty",
        () if text.len() > bytes_max => "is too long",
        () if text.chars().any(char::is_control) => "has control characters",
        () => return Ok(text.to_owned()),
    };
    Err(ApiError::invalid(format!("{field} {wrong}")))
}

fn password(text: String) -> Result<String, ApiError> {
    if text.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(ApiError::invalid(format!("password: at least {PASSWORD_CHARACTERS_MIN} characters")));
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::invalid(format!("password: at most {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(text)
}
