//! Who may talk to our HTTP listener at all: no page of a foreign site, no stranger without a token.
//!
//! A browser on this machine can reach every loopback port, so a request must name us in `Host`
//! (or a page rebound a name to our address) and may not come from a foreign `Origin`. A run whose
//! network is confined comes from an address of its own, and needs its token.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use mesh_agents_a2a::card::KEYS_PATH;
use mesh_agents_core::confinement::RUN_ADDRESS;
use mesh_agents_core::policy::Caller;

/// Finds the caller a bearer token stands for.
pub type ResolveToken = Arc<dyn Fn(&str) -> Option<Caller> + Send + Sync>;

/// The rules of one listener.
#[derive(Clone)]
pub struct Guard {
    /// Names besides the loopback ones under which we are reached: the host of `public_url`, the
    /// bound address. Without port.
    pub hosts: Vec<String>,
    /// Whether a caller without a token is refused: where others than this machine can reach us.
    pub token_required: bool,
    /// Who holds a token: per-run tokens and access tokens alike.
    pub resolve: ResolveToken,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("hosts", &self.hosts)
            .field("token_required", &self.token_required)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Puts the rules before every route of `app`; handlers find the [`Caller`] in the extensions.
    /// A token is not asked of `/healthz` and of the public key cards are signed with.
    pub fn protect(self, app: Router) -> Router {
        app.layer(from_fn_with_state(Arc::new(self), check))
    }

    fn names_us(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
    }

    fn host_refused(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let named = match headers.get(header::HOST) {
            Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
            None => uri.authority().cloned(),
        };
        let named: Option<Authority> = named;
        match named {
            None => Some("the request has no valid Host header"),
            Some(authority) if !self.names_us(authority.host()) => {
                Some("the Host header names another host")
            }
            Some(_) => None,
        }
    }

    fn origin_refused(&self, headers: &HeaderMap) -> Option<&'static str> {
        let origin = headers.get(header::ORIGIN)?;
        let own = origin
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Uri>().ok())
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .and_then(|uri| uri.authority().cloned())
            .is_some_and(|authority| self.names_us(authority.host()));
        (!own).then_some("the Origin header names a foreign site")
    }

    fn caller(&self, headers: &HeaderMap, from_a_run: bool) -> Result<Caller, &'static str> {
        match headers.get(header::AUTHORIZATION) {
            None if self.token_required => Err("this listener needs a bearer token"),
            None if from_a_run => Err("a run is nobody here without the token it was given"),
            None => Ok(Caller::local()),
            Some(value) => bearer(value)
                .and_then(|token| (self.resolve)(token))
                .ok_or("the bearer token is not known here, or the run it was made for is over"),
        }
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let foreign = guard
        .host_refused(request.uri(), headers)
        .or_else(|| guard.origin_refused(headers));
    if let Some(why) = foreign {
        return (StatusCode::FORBIDDEN, format!("not_allowed: {why}\n")).into_response();
    }
    if matches!(request.uri().path(), "/healthz" | KEYS_PATH) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from_a_run = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical() == RUN_ADDRESS);
    match guard.caller(headers, from_a_run) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(why) => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            format!("not_allowed: {why}\n"),
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    fn guard(token_required: bool) -> Guard {
        Guard {
            hosts: vec!["node.example".into()],
            token_required,
            resolve: Arc::new(|token| (token == "right").then(|| Caller::token("ci"))),
        }
    }

    async fn ask(guard: Guard, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        ask_from("127.0.0.1", guard, path, headers).await
    }

    async fn ask_from(
        peer: &str,
        guard: Guard,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let app =
            Router::new()
                .route(
                    "/who",
                    get(|Extension(caller): Extension<Caller>| async move {
                        caller.principal.to_string()
                    }),
                )
                .route("/healthz", get(|| async { "ok" }));
        let mut request = axum::http::Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let request = request.extension(ConnectInfo(peer));
        let request = request.body(Body::empty()).unwrap();
        let response = guard.protect(app).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_run_that_was_led_here_is_nobody_without_its_token() {
        let host = ("host", "127.0.0.1:3131");
        for peer in [&*RUN_ADDRESS.to_string(), "::ffff:127.90.0.1"] {
            let (status, why) = ask_from(peer, guard(false), "/who", &[host]).await;
            assert_eq!(status, 401, "{peer}: {why}");
            let right = [host, ("authorization", "Bearer right")];
            let (status, who) = ask_from(peer, guard(false), "/who", &right).await;
            assert_eq!((status, &*who), (200, "token:ci"), "{peer}");
        }
        let (status, who) = ask_from("127.0.0.2", guard(false), "/who", &[host]).await;
        assert_eq!((status, &*who), (200, "local"));
    }

    #[tokio::test]
    async fn only_requests_that_name_us_and_come_from_us_pass() {
        let passes = [
            vec![("host", "127.0.0.1:3131")],
            vec![("host", "[::1]:3131")],
            vec![
                ("host", "LOCALHOST:3131"),
                ("origin", "http://localhost:6274"),
            ],
            vec![("host", "node.example"), ("origin", "https://node.example")],
        ];
        for headers in passes {
            let (status, who) = ask(guard(false), "/who", &headers).await;
            assert_eq!((status, who.as_str()), (200, "local"), "{headers:?}");
        }
        let refused = [
            vec![],
            vec![("host", "evil.example:3131")],
            vec![("host", "127.0.0.1.evil.example")],
            vec![("host", "localhost"), ("origin", "https://evil.example")],
            vec![("host", "localhost"), ("origin", "null")],
            vec![("host", "localhost"), ("origin", "file://localhost")],
            vec![("host", "localhost@evil.example")],
        ];
        for headers in refused {
            let (status, why) = ask(guard(false), "/healthz", &headers).await;
            assert_eq!(status, 403, "{headers:?}: {why}");
        }
    }

    #[tokio::test]
    async fn a_token_decides_who_asks_and_a_wrong_one_never_means_local() {
        let host = ("host", "localhost");
        for (required, token, expected) in [
            (false, Some("Bearer right"), (200, "token:ci")),
            (true, Some("bearer right"), (200, "token:ci")),
            (false, Some("Bearer wrong"), (401, "not_allowed")),
            (false, Some("right"), (401, "not_allowed")),
            (false, Some("Basic right"), (401, "not_allowed")),
            (true, None, (401, "not_allowed")),
        ] {
            let mut headers = vec![host];
            headers.extend(token.map(|token| ("authorization", token)));
            let (status, said) = ask(guard(required), "/who", &headers).await;
            assert_eq!(status, expected.0, "{token:?} {said}");
            assert!(said.starts_with(expected.1), "{token:?} {said}");
        }
        assert_eq!(ask(guard(true), "/healthz", &[host]).await.0, 200);
    }
}
