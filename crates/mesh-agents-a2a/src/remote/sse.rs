//! Server-sent events, read from bytes as they come, with a limit on what one event may hold.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::fault::Fault;

/// Reads lines and gathers the `data` of events.
#[derive(Debug)]
struct Parser {
    limit: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended in CR; a LF that follows belongs to it.
    after_cr: bool,
}

impl Parser {
    /// Takes bytes; the data of every event they complete, in order.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest.first() == Some(&b'\n') {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len() + self.data.len() + line.len() > self.limit {
                return Err(Fault::TooLarge { limit: self.limit });
            }
            self.line.extend_from_slice(line);
            let Some(ending) = after.first() else { break };
            self.after_cr = *ending == b'\r';
            rest = after.get(1..).unwrap_or_default();
            events.extend(self.end_line());
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end();
        }
        // Comments, event names, ids and retry times say nothing we need.
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[][..],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        None
    }

    /// The event gathered so far.
    fn end(&mut self) -> Option<Vec<u8>> {
        let data = std::mem::take(&mut self.data);
        (std::mem::take(&mut self.has_data) && !data.is_empty()).then_some(data)
    }
}

/// The data of the events in `body`. Ends with the body; a last event that was not closed by an
/// empty line is dropped when the stream broke, as the specification of SSE wants.
pub(crate) fn events(
    body: BoxStream<'static, Result<Bytes, Fault>>,
    limit: usize,
) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
    let parser = Parser {
        limit,
        line: Vec::new(),
        data: Vec::new(),
        has_data: false,
        after_cr: false,
    };
    let read = futures::stream::unfold(Some((body, parser)), |state| async move {
        let (mut body, mut parser) = state?;
        let (items, next) = match body.next().await? {
            Ok(bytes) => match parser.take(&bytes) {
                Ok(events) => {
                    let items = events.into_iter().map(Ok).collect::<Vec<_>>();
                    (items, Some((body, parser)))
                }
                Err(fault) => (vec![Err(fault)], None),
            },
            Err(fault) => (vec![Err(fault)], None),
        };
        Some((futures::stream::iter(items), next))
    });
    read.flatten().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pieces: &[&[u8]], limit: usize) -> Vec<Result<String, Fault>> {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|one| Ok(Bytes::copy_from_slice(one)))
            .collect();
        events(futures::stream::iter(pieces).boxed(), limit)
            .map(|one| one.map(|data| String::from_utf8(data).unwrap()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn events_come_out_whole_however_the_bytes_are_cut() {
        let text = b": hello\r\nid: 1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\ndata: b\n\n\ndata\n\ndata: c\r\rdata: lost";
        let whole: Vec<_> = ["{\"a\":\n1}", "b", "c"]
            .into_iter()
            .map(|one| Ok(one.to_owned()))
            .collect();
        assert_eq!(read(&[text], 100).await, whole);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read(&bytes, 100).await, whole);
    }

    #[tokio::test]
    async fn an_event_without_end_is_cut_off() {
        let line = [b'x'; 64];
        let pieces: Vec<&[u8]> = std::iter::once(&b"data: "[..])
            .chain(std::iter::repeat_n(&line[..], 10))
            .collect();
        assert_eq!(
            read(&pieces, 200).await,
            [Err(Fault::TooLarge { limit: 200 })]
        );
    }
}
