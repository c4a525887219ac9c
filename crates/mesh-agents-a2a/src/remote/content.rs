//! The content of an artifact that stayed with its node: asked for over the same streams as everything else,
//! from the byte on that is missing here.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use mesh_agents_core::content::{ContentFault, ContentSpec, ContentStream};
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::policy::SKILL_HEADER;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, Url};

use super::Shared;
use super::fault::Fault;
use super::pipe::{Pipe as _, Request, Response};
use super::wire::refusal;

/// Longest refusal that is read.
const WORDS_BYTES: usize = 64 * 1024;

/// Pieces of a content.
type Pieces = BoxStream<'static, Result<Vec<u8>, ContentFault>>;

/// The content, once its node answers.
pub(super) fn fetch(shared: Arc<Shared>, wanted: ContentSpec) -> ContentStream {
    let opened = stream::once(async move {
        match open(&shared, &wanted).await {
            Ok(pieces) => pieces,
            Err(fault) => stream::once(async move { Err(fault) }).boxed(),
        }
    });
    Box::pin(opened.flatten())
}

async fn open(shared: &Arc<Shared>, wanted: &ContentSpec) -> Result<Pieces, ContentFault> {
    let Some(node) = wanted.agent.node() else {
        let text = format!("agent \"{}\" is on no other node", wanted.agent);
        return Err(ContentFault::Gone(text));
    };
    let away = {
        let (shared, node) = (Arc::clone(shared), node.clone());
        move |why: String| ContentFault::Away {
            node: shared.mesh.as_ref().and_then(|mesh| mesh.away(&node)),
            why,
        }
    };
    let pipe = shared.mesh_pipe(&node);
    let pipe = pipe.map_err(|error| away(error.to_string()))?;
    let sent = pipe.send(request(shared, wanted)?).await;
    let answer = sent.map_err(|fault| away(fault.cause()))?;
    let skip = match answer.status {
        206 if answer.begins_at == Some(wanted.from) => 0,
        // The whole, for a node may leave ranges alone.
        200 => wanted.from,
        _ => return Err(no(answer, away).await),
    };
    let tag = format!("\"{}\"", wanted.sha256);
    if answer.tag.is_some_and(|told| told != tag) {
        let text = "another content has its name there now".to_owned();
        return Err(ContentFault::Gone(text));
    }
    let body = answer.body.scan(skip, |skip, piece| {
        let piece = piece.map(|bytes| {
            let over = usize::try_from(*skip)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            *skip -= over as u64;
            bytes.slice(over..).to_vec()
        });
        std::future::ready(Some(piece))
    });
    Ok(body
        .map(move |piece| piece.map_err(|fault| away(fault.cause())))
        .boxed())
}

fn request(shared: &Shared, wanted: &ContentSpec) -> Result<Request, ContentFault> {
    let nowhere = || ContentFault::Gone(format!("\"{}\" is the name of no artifact", wanted.name));
    let (task, artifact) = wanted.name.split_once('/').ok_or_else(nowhere)?;
    // A URL takes `..` for a step up.
    task.parse::<TaskId>().map_err(|_| nowhere())?;
    artifact.parse::<ArtifactId>().map_err(|_| nowhere())?;
    let mut url = Url::parse("http://mesh/").map_err(|_| nowhere())?;
    url.path_segments_mut()
        .map_err(|()| nowhere())?
        .pop_if_empty()
        .extend([
            "a2a",
            "agents",
            wanted.agent.name(),
            "tasks",
            task,
            "artifacts",
        ])
        .extend(artifact.split('/'));
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if wanted.from > 0 {
        set(RANGE, format!("bytes={}-", wanted.from));
        set(IF_RANGE, format!("\"{}\"", wanted.sha256));
    }
    if let Some(skill) = &wanted.skill {
        set(HeaderName::from_static(SKILL_HEADER), skill.clone());
    }
    Ok(Request {
        method: Method::GET,
        url,
        headers,
        body: None,
        patience: Some(shared.timeouts.first_byte),
    })
}

/// What an answer without the content means.
async fn no(answer: Response, away: impl FnOnce(String) -> ContentFault) -> ContentFault {
    let (status, location) = (answer.status, answer.location.clone());
    let fault = match answer.collect(WORDS_BYTES).await {
        Ok(body) => refusal(status, location, &body),
        Err(fault) => fault,
    };
    // Other answers that say later come with words of A2A too, so the status decides.
    match status {
        401 | 403 => ContentFault::Refused(said(&fault)),
        408 | 425 | 429 | 500..=599 => away(said(&fault)),
        _ => ContentFault::Gone(said(&fault)),
    }
}

/// What was said, without the numbers of protocols.
fn said(fault: &Fault) -> String {
    match fault {
        Fault::Told { words, .. } | Fault::Status { words, .. } if !words.is_empty() => {
            words.clone()
        }
        other => other.cause(),
    }
}
