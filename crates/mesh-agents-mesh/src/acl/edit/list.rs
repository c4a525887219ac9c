//! One item more or less in a list a person wrote, over one line or many, with comments or without.

use toml_edit::{Array, Decor, RawString, TableLike, Value, value};

use crate::acl::Pattern;

/// How far items of a list over many lines stand in when there is none to go by.
const INDENT: &str = "  ";

/// Adds `pattern` to the list `key`, made if there is none, unless it is in it.
pub(super) fn add(table: &mut dyn TableLike, key: &str, pattern: &Pattern) {
    let item = table.entry(key).or_insert_with(|| value(Array::new()));
    let Some(array) = item.as_array_mut() else {
        return;
    };
    let text = pattern.to_string();
    if position(array, &text).is_none() {
        push(array, &text);
    }
}

/// Takes `pattern` out of the list `key`. A list that is empty then goes too, unless it has a comment.
pub(super) fn remove(table: &mut dyn TableLike, key: &str, pattern: &Pattern) {
    let Some(array) = table.get_mut(key).and_then(|item| item.as_array_mut()) else {
        return;
    };
    let Some(at) = position(array, &pattern.to_string()) else {
        return;
    };
    let removed = array.remove(at);
    carry(array, at, removed.decor());
    let bare = array.is_empty()
        && !text_of(Some(array.trailing())).contains('#')
        && !text_of(array.decor().suffix()).contains('#');
    let above = |table: &dyn TableLike| {
        let key = table.key(key)?;
        Some(text_of(key.leaf_decor().prefix()).contains('#'))
    };
    if bare && above(table) != Some(true) {
        table.remove(key);
    } else if let Some(array) = table.get_mut(key).and_then(|item| item.as_array_mut())
        && array.is_empty()
    {
        array.set_trailing_comma(false);
    }
}

fn position(array: &Array, text: &str) -> Option<usize> {
    array.iter().position(|item| item.as_str() == Some(text))
}

/// Adds an item at the end. In a list over many lines it gets a line, and comments stay with the items
/// before it.
fn push(array: &mut Array, text: &str) {
    let last = array.len().checked_sub(1);
    let before = last.and_then(|last| array.get(last)).map(Value::decor);
    let prefix = before
        .map(|decor| text_of(decor.prefix()))
        .unwrap_or_default();
    let suffix = before
        .map(|decor| text_of(decor.suffix()))
        .unwrap_or_default();
    let tail = format!("{suffix}{}", text_of(Some(array.trailing())));
    if !tail.contains('\n') && !prefix.contains('\n') {
        array.push(text);
        return;
    }
    let indent = match prefix.rsplit_once('\n') {
        Some((_, indent)) => indent.to_owned(),
        None => INDENT.to_owned(),
    };
    let (comments, close) = tail.rsplit_once('\n').unwrap_or((&tail, ""));
    let mut item = Value::from(text);
    *item.decor_mut() = Decor::new(format!("{comments}\n{indent}"), "");
    let close = format!("\n{close}");
    if let Some(last) = last.and_then(|last| array.get_mut(last)) {
        last.decor_mut().set_suffix("");
    }
    array.push_formatted(item);
    array.set_trailing(close);
    array.set_trailing_comma(true);
}

/// Joins what stood before a removed item with what stood after it. The rest of a line belongs to the item
/// before it, so a remark behind the removed one goes with it; all other comments stay.
fn carry(array: &mut Array, at: usize, removed: &Decor) {
    let before = text_of(removed.prefix());
    let next = array.get(at).map(|next| text_of(next.decor().prefix()));
    let after = next.clone().unwrap_or_else(|| {
        let suffix = text_of(removed.suffix());
        format!("{suffix}{}", text_of(Some(array.trailing())))
    });
    let joined = match (before.rsplit_once('\n'), after.split_once('\n')) {
        (Some((comments, _)), Some((_, rest))) => format!("{comments}\n{rest}"),
        (None, Some((_, rest))) => format!("\n{rest}"),
        (Some(_), None) if next.is_some() => before,
        (Some((comments, _)), None) => format!("{comments}\n"),
        (None, None) if at == 0 => before,
        (None, None) => after,
    };
    match array.get_mut(at) {
        Some(next) => next.decor_mut().set_prefix(joined),
        None => array.set_trailing(joined),
    }
}

fn text_of(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str)
        .unwrap_or_default()
        .to_owned()
}
