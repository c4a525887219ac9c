//! Which model a run uses: asked of the mesh's OpenAI-compatible API just before the run.
//!
//! Plain HTTP only: that API listens on loopback, and a TLS stack would be the largest dependency
//! of this crate.

use std::time::Duration;

use futures::future::{Either, select};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use mesh_agents_core::task::Failure;
use serde::Deserialize;
use tokio::net::TcpStream;

/// The longest the list may take; it lies in the node's memory.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The largest list read: a thousand models with long descriptions.
const BODY_BYTES: usize = 1024 * 1024;
/// Names shown of a list in which the wanted one is missing.
const NAMES_SHOWN: usize = 20;

/// The id of the model to use at `openai_url`: `auto` is the mesh's own choice if it offers that,
/// else its first model; any other name has to be listed.
///
/// # Errors
/// `no_model` when no model can be had, with both ways out; `model_not_found` with the models there
/// are; `configuration` for an address that is not `http://`.
pub(crate) async fn resolve_model(
    openai_url: Option<&str>,
    wanted: &str,
) -> Result<String, Failure> {
    resolve_within(TIME_LIMIT, openai_url, wanted).await
}

/// Why a run here could not have the model `wanted` of the mesh at `openai_url`, with the way out;
/// `None` when it could.
pub async fn lacks_model(openai_url: Option<&str>, wanted: &str) -> Option<String> {
    let failure = resolve_model(openai_url, wanted).await.err()?;
    Some(failure.message)
}

/// The failure of a run that cannot have a model, with both ways out.
pub(crate) fn no_model(cause: &str) -> Failure {
    Failure::new(
        "no_model",
        format!(
            "no model to run with: {cause}; start or join a mesh that serves a model, or set openai_url in a2a/agents.toml; or set config = \"user\" under [runtime] in runtime.toml to use the harness's own configuration and login"
        ),
    )
}

async fn resolve_within(
    limit: Duration,
    openai_url: Option<&str>,
    wanted: &str,
) -> Result<String, Failure> {
    let Some(url) = openai_url else {
        return Err(no_model("no OpenAI-compatible API is known"));
    };
    let address = Address::parse(url).ok_or_else(|| {
        Failure::new(
            "configuration",
            format!("openai_url {url:?} is not an http:// address; only plain HTTP is supported, such as http://127.0.0.1:9337/v1"),
        )
    })?;
    let listed = match tokio::time::timeout(limit, address.list()).await {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => return Err(no_model(&format!("{url}: {error}"))),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            return Err(no_model(&format!(
                "{url} did not answer within {seconds} s"
            )));
        }
    };
    choose(&listed, wanted, url)
}

fn choose(listed: &[String], wanted: &str, url: &str) -> Result<String, Failure> {
    let Some(first) = listed.first() else {
        return Err(no_model(&format!("{url} serves none at the moment")));
    };
    if listed.iter().any(|id| id == wanted) {
        return Ok(wanted.to_owned());
    }
    if wanted == "auto" {
        return Ok(first.clone());
    }
    let shown = listed.len().min(NAMES_SHOWN);
    let mut names = listed[..shown].join(", ");
    if listed.len() > shown {
        names += &format!(" and {} more", listed.len() - shown);
    }
    Err(Failure::new(
        "model_not_found",
        format!(
            "model {wanted:?} is not served at {url}; there are {names}; set runtime.model to one of these or to \"auto\""
        ),
    ))
}

/// Why the list could not be had.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("the HTTP exchange failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("GET models answered {0}")]
    Status(StatusCode),
    #[error("the answer to GET models cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer to GET models is not a list of models: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the request cannot be built: {0}")]
    Request(#[from] hyper::http::Error),
}

/// The answer of `GET /v1/models`, as much of it as is read.
#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Where the list is.
struct Address {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Address {
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        if uri.scheme_str() != Some("http") {
            return None;
        }
        Some(Self {
            // An IPv6 address stands in brackets in a URL and without them everywhere else.
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: uri.authority()?.to_string(),
            path: format!("{}/models", uri.path().trim_end_matches('/')),
        })
    }

    async fn list(&self) -> Result<Vec<String>, ListError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(ListError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(&self.path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())?;
        let exchange = Box::pin(async move {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(ListError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), BODY_BYTES)
                .collect()
                .await;
            Ok(body.map_err(ListError::Body)?.to_bytes())
        });
        // The connection only moves while it is polled; when it ends first, what it brought is
        // already with the exchange.
        let body = match select(exchange, connection).await {
            Either::Left((body, _connection)) => body?,
            Either::Right((_closed, exchange)) => exchange.await?,
        };
        let models: Models = serde_json::from_slice(&body)?;
        Ok(models.data.into_iter().map(|model| model.id).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// A server for one request; returns its first line.
    fn serve(answer: &str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            // The client may leave in the middle of an answer it finds too long.
            let _cut = stream.write_all(answer.as_bytes());
            let request = String::from_utf8(request).unwrap();
            request.lines().next().unwrap().to_owned()
        });
        (url, thread)
    }

    fn ok(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn resolved(answer: &str, wanted: &str) -> Result<String, String> {
        let (url, server) = serve(answer);
        let found = resolve_model(Some(&url), wanted).await;
        assert_eq!(server.join().unwrap(), "GET /v1/models HTTP/1.1");
        found.map_err(|failure| {
            let text = format!("{}: {}", failure.code, failure.message);
            text.replace(&url, "URL")
        })
    }

    const TWO: &str =
        r#"{"object":"list","data":[{"id":"small","object":"model"},{"id":"large"}]}"#;

    #[tokio::test]
    async fn auto_is_the_first_unless_the_mesh_offers_auto() {
        assert_eq!(resolved(&ok(TWO), "auto").await.unwrap(), "small");
        let with_auto = r#"{"data":[{"id":"small"},{"id":"auto"}]}"#;
        assert_eq!(resolved(&ok(with_auto), "auto").await.unwrap(), "auto");
    }

    #[tokio::test]
    async fn a_named_model_has_to_be_there() {
        assert_eq!(resolved(&ok(TWO), "large").await.unwrap(), "large");
        assert_eq!(
            resolved(&ok(TWO), "medium").await.unwrap_err(),
            "model_not_found: model \"medium\" is not served at URL; there are small, large; set runtime.model to one of these or to \"auto\""
        );
    }

    #[tokio::test]
    async fn a_list_closed_by_the_end_of_the_connection_is_read() {
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{TWO}");
        assert_eq!(resolved(&answer, "auto").await.unwrap(), "small");
    }

    #[tokio::test]
    async fn every_way_to_have_no_model_names_both_ways_out() {
        let refused = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/v1", listener.local_addr().unwrap())
        };
        let large = ok(&format!(
            "{{\"data\":[],\"x\":\"{}\"}}",
            "y".repeat(BODY_BYTES)
        ));
        let mut failures = vec![
            resolve_model(None, "auto").await.unwrap_err(),
            resolve_model(Some(&refused), "auto").await.unwrap_err(),
        ];
        for answer in [
            &ok(r#"{"data":[]}"#),
            &ok("<html>"),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
            &large,
        ] {
            let (url, server) = serve(answer);
            failures.push(resolve_model(Some(&url), "auto").await.unwrap_err());
            server.join().unwrap();
        }
        for failure in failures {
            assert_eq!(failure.code, "no_model", "{failure:?}");
            assert!(
                failure.message.contains("openai_url in a2a/agents.toml"),
                "{failure:?}"
            );
            assert!(failure.message.contains("config = \"user\""), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let limit = Duration::from_millis(50);
        let failure = resolve_within(limit, Some(&url), "auto").await.unwrap_err();
        assert!(failure.message.contains("did not answer"), "{failure:?}");
    }

    #[tokio::test]
    async fn only_plain_http_is_spoken() {
        for url in ["https://127.0.0.1/v1", "127.0.0.1:9337", "unix:/x", ""] {
            let failure = resolve_model(Some(url), "auto").await.unwrap_err();
            assert_eq!(failure.code, "configuration", "{url}");
            assert!(
                failure.message.contains("http://127.0.0.1:9337/v1"),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn a_long_list_is_cut_in_the_message() {
        let listed: Vec<_> = (0..25).map(|n| format!("m{n}")).collect();
        let failure = choose(&listed, "x", "URL").unwrap_err();
        assert!(failure.message.contains("m19 and 5 more;"), "{failure:?}");
    }

    #[test]
    fn an_address_in_brackets_is_connected_without_them() {
        let address = Address::parse("http://[::1]:8080/api/").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 8080));
        assert_eq!(
            (address.authority.as_str(), address.path.as_str()),
            ("[::1]:8080", "/api/models")
        );
    }
}
