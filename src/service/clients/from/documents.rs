//! Documents of JSON that follow each other in a file: pages of a list, lists, or a row each.

use serde_json::Value;

use crate::tokens::unique_json::{self, Unique};

/// Members that describe a page of a list. One of several pages is rejected.
pub(super) const PAGE_MEMBERS: [&str; 12] = [
    "next_page_token",
    "NextToken",
    "nextToken",
    "next",
    "start",
    "limit",
    "length",
    "total",
    "totalResults",
    "startIndex",
    "itemsPerPage",
    "schemas",
];

/// Members that hold the list of a page.
const LISTS: [&str; 7] = [
    "clients",
    "client_grants",
    "resource_servers",
    "items",
    "resources",
    "ResourceServers",
    "UserPoolClients",
];

/// Reads a document. Pages of one list become one page, lists one list, and other documents a list with the line of each.
pub(super) fn read(text: &str) -> Result<(Value, Vec<u64>), String> {
    let (mut documents, lines) = parsed(text)?;
    if documents.len() == 1 {
        let document = documents.remove(0);
        is_last(&document)?;
        has_all(&[&document], true)?;
        return Ok((document, Vec::new()));
    }
    if let Some(name) = list_of_pages(&documents) {
        return merged(documents, name).map(|page| (page, Vec::new()));
    }
    if documents.iter().all(Value::is_array) {
        let pages = documents.into_iter().filter_map(|page| match page {
            Value::Array(items) => Some(items),
            _ => None,
        });
        return Ok((Value::Array(pages.flatten().collect()), Vec::new()));
    }
    if let Some((_, line)) = documents.iter().zip(&lines).find(|(document, _)| !document.is_object()) {
        return Err(format!("line {line}: must be an object, as the documents before it"));
    }
    Ok((Value::Array(documents), lines))
}

/// The documents, and the line on which each begins.
fn parsed(text: &str) -> Result<(Vec<Value>, Vec<u64>), String> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Unique>();
    let (mut documents, mut lines) = (Vec::new(), Vec::new());
    let (mut line, mut counted) = (1, 0);
    loop {
        let rest = &text[stream.byte_offset()..];
        let begins = text.len() - rest.trim_start().len();
        let Some(read) = stream.next() else {
            return Ok((documents, lines));
        };
        let Unique(document) = read.map_err(|error| {
            if let Some(name) = unique_json::duplicate(&error) {
                return format!("line {}: an object has the member {name} twice", error.line());
            }
            let hint = if error.is_eof() { "; the file is truncated" } else { "" };
            format!("is not JSON: {error}{hint}")
        })?;
        line += text[counted..begins].bytes().filter(|byte| *byte == b'\n').count() as u64;
        counted = begins;
        documents.push(document);
        lines.push(line);
    }
}

/// The member that holds the list of every document, if each of them is a page and nothing else.
fn list_of_pages(documents: &[Value]) -> Option<&'static str> {
    let is_page = |document: &Value, list: &str| {
        let members = document.as_object();
        members.is_some_and(|members| {
            members.get(list).is_some_and(Value::is_array)
                && members
                    .keys()
                    .all(|name| name == list || PAGE_MEMBERS.contains(&&**name))
        })
    };
    LISTS
        .into_iter()
        .find(|list| documents.iter().all(|document| is_page(document, list)))
}

/// One page with the entries of all.
fn merged(mut pages: Vec<Value>, list: &str) -> Result<Value, String> {
    let is_full = |page: &Value| page[list].as_array().is_some_and(|entries| !entries.is_empty());
    for (index, page) in pages.iter().enumerate().filter(|(_, page)| is_full(page)) {
        if pages[..index].iter().any(|other| other[list] == page[list]) {
            return Err("has the same page twice: export all pages".to_owned());
        }
    }
    if let Some(last) = pages.last() {
        is_last(last)?;
    }
    has_all(&pages.iter().collect::<Vec<_>>(), false)?;
    let entries = pages.iter_mut().filter_map(|page| page[list].as_array_mut());
    let entries: Vec<Value> = entries.flat_map(std::mem::take).collect();
    Ok(Value::Object([(list.to_owned(), entries.into())].into_iter().collect()))
}

/// Rejects a page that another one follows.
fn is_last(document: &Value) -> Result<(), String> {
    for name in ["next_page_token", "NextToken", "nextToken", "next"] {
        if document[name].as_str().is_some_and(|token| !token.is_empty()) {
            return Err(format!(
                "is one page of several, because it has {name}: export all pages"
            ));
        }
    }
    Ok(())
}

/// Rejects pages that have not as many entries as they say. `may_have_more`: whether more entries are accepted.
fn has_all(pages: &[&Value], may_have_more: bool) -> Result<(), String> {
    let count = |lists: &[&str]| {
        let of_page = |page: &&Value| lists.iter().find_map(|list| page[*list].as_array().map(Vec::len));
        let counts: Vec<usize> = pages.iter().filter_map(of_page).collect();
        (!counts.is_empty()).then(|| counts.iter().sum::<usize>() as u64)
    };
    let has_start = pages.iter().all(|page| page["start"].is_u64());
    for (name, lists) in [
        ("totalResults", &["resources"][..]),
        ("total", if has_start { &LISTS[..3] } else { &[] }),
    ] {
        let total = pages.iter().filter_map(|page| page[name].as_u64()).max();
        if let (Some(total), Some(length)) = (total, count(lists))
            && (total > length || total < length && !may_have_more)
        {
            return Err(format!("has {length} of {total} entries ({name}): export all pages"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn pages_become_one_list() {
        let page =
            |start: u64, total: u64, ids: &[u64]| json!({"start": start, "limit": 1, "total": total, "clients": ids});
        let of = |pages: &[serde_json::Value]| {
            let text = pages
                .iter()
                .map(|page| format!("{page:#}"))
                .collect::<Vec<_>>()
                .join("\n");
            read(&text).map(|(value, _)| value)
        };
        assert_eq!(
            of(&[page(0, 2, &[1]), page(1, 2, &[2])]),
            Ok(json!({"clients": [1, 2]}))
        );
        for (pages, error) in [
            (
                [page(0, 3, &[1]), page(1, 3, &[2])],
                "has 2 of 3 entries (total): export all pages",
            ),
            (
                [page(0, 1, &[1]), page(1, 1, &[2])],
                "has 2 of 1 entries (total): export all pages",
            ),
            (
                [page(0, 2, &[1]), page(0, 2, &[1])],
                "has the same page twice: export all pages",
            ),
            (
                [
                    json!({"items": [1], "NextToken": "a"}),
                    json!({"items": [2], "NextToken": "b"}),
                ],
                "is one page of several, because it has NextToken: export all pages",
            ),
            (
                [json!({"client_id": "a"}), json!(["b"])],
                "line 4: must be an object, as the documents before it",
            ),
        ] {
            assert_eq!(of(&pages), Err(error.to_owned()));
        }
        let pages = [json!({"items": [1], "NextToken": "a"}), json!({"items": [2]})];
        assert_eq!(of(&pages), Ok(json!({"items": [1, 2]})));
    }

    #[test]
    fn rows_have_the_line_on_which_they_begin() {
        let (rows, lines) = read("{\"a\": 1}\n\n{\"a\":\n2} {\"a\": 3}\n").unwrap();
        assert_eq!((rows, lines), (json!([{"a": 1}, {"a": 2}, {"a": 3}]), vec![1, 3, 4]));
    }
}
