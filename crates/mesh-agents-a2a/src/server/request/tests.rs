//! What requests are refused for, and what is taken.

use super::*;

fn violations(fault: &Fault) -> Vec<&str> {
    fault
        .violations
        .iter()
        .map(|one| one.field.as_str())
        .collect()
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = r#"{"tenant":"t","message":{"parts":[{"text":"a"},{}],"metadata":7},
        "configuration":{"historyLength":-1,"taskPushNotificationConfig":{"url":"file:///x"}}}"#;
    let fault = send(text, &[]).unwrap_err();
    assert_eq!(
        violations(&fault),
        [
            "tenant",
            "configuration.historyLength",
            "configuration.taskPushNotificationConfig.url",
            "message.messageId",
            "message.role",
            "message.metadata",
            "message.parts[1]",
        ]
    );
}

#[test]
fn a_wrong_type_is_told_with_its_path() {
    let text =
        r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"},{"text":[]}]}}"#;
    let fault = send(text, &[]).unwrap_err();
    assert_eq!(violations(&fault), ["message.parts[1].text"]);
}

#[test]
fn both_spellings_of_a_name_are_read_and_unknown_fields_are_ignored() {
    let text = r#"{"message":{"message_id":"m","role":1,"context_id":"c","kind":"message",
        "reference_task_ids":["r"],"parts":[{"text":"a","media_type":"text/plain","x":{"y":[]}}]},
        "configuration":{"return_immediately":true,"history_length":"3","accepted_output_modes":["a/b"]}}"#;
    let read = send(text, &[]).unwrap();
    assert_eq!(read.context.unwrap().as_str(), "c");
    assert_eq!(read.message.references, ["r"]);
    assert_eq!((read.history, read.return_immediately), (Some(3), true));
}

#[test]
fn values_too_deep_for_other_readers_are_refused() {
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let with = |data: &str| {
        format!(
            r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"data":{data}}}]}}}}"#
        )
    };
    assert!(send(&with(&deep(DEPTH)), &[]).is_ok());
    for levels in [DEPTH + 1, 100_000] {
        let fault = send(&with(&deep(levels)), &[]).unwrap_err();
        assert_eq!(violations(&fault), ["message.parts[0].data"], "{levels}");
    }
}

#[test]
fn metadata_has_a_limit_of_its_own() {
    let large = "x".repeat(ASIDE_BYTES);
    let text = format!(
        r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"a"}}]}},"metadata":{{"a":"{large}"}}}}"#
    );
    assert_eq!(violations(&send(&text, &[]).unwrap_err()), ["metadata"]);
}

#[test]
fn a_media_type_the_card_names_is_taken() {
    let with = |part: &str| {
        format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{part}]}}}}"#)
    };
    let odd = with(r#"{"text":"G1 X0","mediaType":"application/x-gcode; v=1"}"#);
    assert_eq!(
        send(&odd, &[]).unwrap_err().kind,
        Kind::ContentTypeNotSupported
    );
    assert!(send(&odd, &["application/X-GCODE".to_owned()]).is_ok());
    // Bytes reach a harness as text, whatever the card says.
    let image = with(r#"{"raw":"iVBORw0KGgo=","mediaType":"image/png"}"#);
    let refused = send(&image, &["image/png".to_owned()]).unwrap_err();
    assert_eq!(refused.kind, Kind::ContentTypeNotSupported);
    for fine in [
        r#"{"raw":"aGk_","mediaType":"text/x-log"}"#,
        r#"{"raw":"aGk="}"#,
        r#"{"url":"https://example.invalid/a.pdf","mediaType":"application/pdf"}"#,
        r#"{"data":[1],"mediaType":"application/vnd.x+json"}"#,
    ] {
        assert!(send(&with(fine), &[]).is_ok(), "{fine}");
    }
}

#[test]
fn the_path_and_the_body_name_one_task() {
    let id = "task-00000000000000000000000000";
    let path = PathIds {
        task: Some(id.to_owned()),
        config: None,
    };
    assert_eq!(one_task("{}", &path).unwrap().id.as_str(), id);
    assert_eq!(
        one_task(&format!(r#"{{"id":"{id}"}}"#), &path)
            .unwrap()
            .id
            .as_str(),
        id
    );
    let fault = one_task(r#"{"id":"task-other"}"#, &path).unwrap_err();
    assert_eq!(violations(&fault), ["id"]);
}

#[test]
fn a_time_between_two_milliseconds_is_the_later_one() {
    for (text, expected) in [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.0000001Z", 1_700_000_000_001),
        ("2023-11-14T23:13:20.001+01:00", 1_700_000_000_001),
        ("1969-12-31T23:59:59.9995Z", 0),
    ] {
        let read = list(&format!(r#"{{"statusTimestampAfter":"{text}"}}"#)).unwrap();
        assert_eq!(read.since, Some(UnixMillis(expected)), "{text}");
    }
}

#[test]
fn secrets_that_would_break_a_header_are_refused() {
    let text = r#"{"taskId":"task-00000000000000000000000000","url":"https://h/p","token":"a\r\nX: y",
        "authentication":{"scheme":"Bearer x","credentials":"ä"}}"#;
    let fault = new_config(text, &PathIds::default()).unwrap_err();
    assert_eq!(
        violations(&fault),
        [
            "token",
            "authentication.scheme",
            "authentication.credentials"
        ]
    );
}
