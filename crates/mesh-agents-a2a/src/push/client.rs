//! One notification over HTTP: what is sent, and what the answer means.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mesh_agents_core::push::{PushConfig, PushTargets};
use mesh_agents_tasks::{PushDelivery, PushFailure, PushFailureKind};
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url};

use super::encode::notification;
use super::resolve::{Lookup, Screened, ScreenedResolver};
use crate::http::{HttpSetupError, screened_client};

/// Longest time for one notification (A2A §4.3.3 recommends 10 to 30 s).
const WHOLE: Duration = Duration::from_secs(20);
/// Bytes of an answer's body that are read, so that its connection can be used again. Nobody reads
/// what it says; a receiver that says more is cut off.
const ANSWER: usize = 8 * 1024;

/// The token's header, which 1.0 does not name, as the Python and as the Rust SDK name it.
const TOKENS: [HeaderName; 2] = [
    HeaderName::from_static("x-a2a-notification-token"),
    HeaderName::from_static("a2a-notification-token"),
];

/// Sends notifications.
#[derive(Debug)]
pub(super) struct Sender {
    targets: Arc<PushTargets>,
    lookup: Arc<dyn Lookup>,
    /// Made when first needed, one for each scheme: http needs no certificates.
    plain: OnceLock<Client>,
    secure: OnceLock<Client>,
}

impl Sender {
    pub(super) fn new(targets: Arc<PushTargets>, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            targets,
            lookup,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    /// Sends one notification and waits for the answer.
    pub(super) async fn send(&self, delivery: &PushDelivery) -> Result<(), PushFailure> {
        let url = self.checked(&delivery.config)?;
        let body = notification(delivery).map_err(|error| refused(error.to_string()))?;
        let Some(body) = body else {
            return Ok(());
        };
        let client = self.client(url.scheme() == "https");
        let client = client.map_err(|error| later(error.to_string()))?;
        let request = client
            .post(url)
            .timeout(WHOLE)
            .headers(headers(&delivery.config)?)
            .body(body);
        match request.send().await {
            Ok(answer) => read(answer).await,
            Err(error) => Err(unsent(error)),
        }
    }

    /// The url, if it may be sent to. A host that is an address passes no lookup: it is screened here.
    fn checked(&self, config: &PushConfig) -> Result<Url, PushFailure> {
        let url = Url::parse(&config.url).map_err(|error| refused(format!("no url: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            let screened = self.targets.screen(host, address);
            screened.map_err(|forbidden| refused(forbidden.to_string()))?;
        }
        Ok(url)
    }

    fn client(&self, secure: bool) -> Result<Client, HttpSetupError> {
        let kept = if secure { &self.secure } else { &self.plain };
        if let Some(client) = kept.get() {
            return Ok(client.clone());
        }
        let lookup = Arc::clone(&self.lookup);
        let resolver = ScreenedResolver::new(Arc::clone(&self.targets), lookup);
        let client = screened_client(secure, Arc::new(resolver))?;
        Ok(kept.get_or_init(|| client).clone())
    }
}

fn headers(config: &PushConfig) -> Result<HeaderMap, PushFailure> {
    let secret = |what: &str, text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| refused(format!("its {what} cannot be sent as a header")))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/a2a+json"),
    );
    if let Some(authentication) = &config.authentication {
        let text = match &authentication.credentials {
            Some(credentials) => format!("{} {credentials}", authentication.scheme),
            None => authentication.scheme.clone(),
        };
        headers.insert(AUTHORIZATION, secret("authentication", &text)?);
    }
    if let Some(token) = &config.token {
        for name in TOKENS {
            headers.insert(name, secret("token", token)?);
        }
    }
    Ok(headers)
}

/// What an answer means.
async fn read(mut answer: Response) -> Result<(), PushFailure> {
    let status = answer.status();
    let retry_after = retry_after(answer.headers());
    let mut room = ANSWER;
    while let Ok(Some(piece)) = answer.chunk().await {
        if piece.len() > room {
            break;
        }
        room -= piece.len();
    }
    let said = format!("the receiver answers {status}");
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::GONE => Err(failure(PushFailureKind::Gone, said)),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(PushFailure {
                retry_after,
                ..later(said)
            })
        }
        _ if status.is_server_error() => Err(PushFailure {
            retry_after,
            ..later(said)
        }),
        _ if status.is_redirection() => Err(refused(format!(
            "{said}, and redirects are not followed; register the url it leads to"
        ))),
        _ => Err(refused(said)),
    }
}

/// `Retry-After` in seconds; its form as a date is rare and not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Why a request had no answer. The url stays out of it: the path of many is a secret.
fn unsent(error: reqwest::Error) -> PushFailure {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        if let Some(screened) = source.downcast_ref::<Screened>() {
            return refused(screened.to_string());
        }
        cause = source;
    }
    if error.is_builder() {
        return refused(format!("the request cannot be made: {cause}"));
    }
    if error.is_timeout() {
        return later(format!("no answer within {} s", WHOLE.as_secs()));
    }
    later(format!("the receiver cannot be reached: {cause}"))
}

fn later(message: String) -> PushFailure {
    failure(PushFailureKind::Unreachable, message)
}

fn refused(message: String) -> PushFailure {
    failure(PushFailureKind::Refused, message)
}

fn failure(kind: PushFailureKind, message: String) -> PushFailure {
    PushFailure {
        kind,
        message,
        retry_after: None,
    }
}
