//! The kinds of rows: what each gives, and what is said of one that is wrong.

use super::*;
use serde_json::{Value, json};

fn read(row: Value) -> Result<Vec<Row>, String> {
    let Json::Object(row) = Json::from(row) else { panic!("an object") };
    Ok(Format::of(&row).ok_or_else(|| "no format".to_string())?.read(&row)?.0)
}

fn one(row: Value) -> Row {
    let mut rows = read(row).unwrap();
    assert_eq!(rows.len(), 1);
    rows.pop().unwrap()
}

fn said(role: Role, text: &str) -> Content {
    vec![Message::new(role, text)].into()
}

#[test]
fn trls_standard_forms() {
    let c = |text: &str| Content::from(text);
    assert_eq!(one(json!({"text": "a", "id": 3})), Row::Text("a".into()));
    assert_eq!(one(json!({"prompt": "a"})), Row::Prompt(c("a")));
    assert_eq!(
        one(json!({"prompt": "a", "completion": "b"})),
        Row::Demonstration { prompt: c("a"), completion: c("b") }
    );
    let labelled = Row::Labelled { prompt: c("a"), completion: c("b"), good: true };
    assert_eq!(one(json!({"prompt": "a", "completion": "b", "label": true})), labelled);
    let pair = Row::Ranked { prompt: c("a"), completions: vec![c("b"), c("c")], ranks: vec![0.0, 1.0] };
    assert_eq!(one(json!({"prompt": "a", "chosen": "b", "rejected": "c"})), pair);
    let ties = Row::Ranked { prompt: c("a"), completions: vec![c("b"), c("c")], ranks: vec![2.0, 2.0] };
    assert_eq!(one(json!({"prompt": "a", "completions": ["b", "c"], "ranks": [2, 2]})), ties);
}

#[test]
fn trls_conversational_forms() {
    let (user, assistant) =
        (json!({"role": "user", "content": "a"}), |t: &str| json!({"role": "assistant", "content": t}));
    let pair = Row::Ranked {
        prompt: said(Role::User, "a"),
        completions: vec![said(Role::Assistant, "b"), said(Role::Assistant, "c")],
        ranks: vec![0.0, 1.0],
    };
    assert_eq!(one(json!({"prompt": [user], "chosen": [assistant("b")], "rejected": [assistant("c")]})), pair);
    assert_eq!(one(json!({"chosen": [user, assistant("b")], "rejected": [user, assistant("c")]})), pair);
    assert!(matches!(one(json!({"messages": [user, assistant("b")]})), Row::Messages(list) if list.len() == 2));
    assert_eq!(one(json!({"prompt": [user]})), Row::Prompt(said(Role::User, "a")));
}

#[test]
fn text_with_turns_is_a_conversation() {
    let row = one(json!({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "completion": " d"}));
    let Row::Demonstration { prompt: Content::Messages(prompt), completion } = &row else { panic!("{row:?}") };
    let turns: Vec<_> = prompt.iter().map(|m| (m.role, m.text.as_str())).collect();
    assert_eq!(turns, [(Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")]);
    assert_eq!(*completion, said(Role::Assistant, "d"));
    let text = |row: &Row| matches!(row, Row::Demonstration { prompt: Content::Text(_), .. });
    for prompt in ["Human: a\n\nAssistant:", "\n\nHuman: a", "x\n\nHuman: a\n\nAssistant:"] {
        assert!(text(&one(json!({"prompt": prompt, "completion": " d"}))), "{prompt:?}");
    }
    assert!(text(&one(json!({"prompt": "\n\nHuman: a\n\nAssistant:", "completion": "d"}))));
}

#[test]
fn the_prompt_of_a_pair_is_what_both_share() {
    let shared = |a: &str, b: &str| a[..shared_prompt(a, b)].to_string();
    assert_eq!(
        shared("\n\nHuman: hi\n\nAssistant: Yes, I do", "\n\nHuman: hi\n\nAssistant: Yes, no"),
        "\n\nHuman: hi\n\nAssistant:"
    );
    assert_eq!(shared("The sky is blue", "The sky is black"), "The sky is");
    assert_eq!(shared("é", "è"), "");
    // nothing of the two differs: there is an answer all the same
    let same = json!([{"role": "user", "content": "a"}]);
    assert!(
        matches!(one(json!({"chosen": same, "rejected": same})), Row::Ranked { completions, .. } if !completions[0].is_empty())
    );
}

#[test]
fn the_forms_of_others() {
    let row = one(
        json!({"history": [{"role": "prompter", "text": "q"}], "responses": [{"text": "x", "rank": 1}, {"text": "y", "rank": 0}]}),
    );
    let completions = vec![said(Role::Assistant, "x"), said(Role::Assistant, "y")];
    assert_eq!(row, Row::Ranked { prompt: said(Role::User, "q"), completions, ranks: vec![1.0, 0.0] });

    let rows = read(
        json!({"instruction": "add", "instances": [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}]}),
    )
    .unwrap();
    assert_eq!(
        rows[0],
        Row::Demonstration { prompt: said(Role::User, "add\n\n1 2"), completion: said(Role::Assistant, "3") }
    );
    assert_eq!(rows[1], Row::Demonstration { prompt: said(Role::User, "add"), completion: said(Role::Assistant, "0") });

    let panda = |a: [u32; 3]| json!({"instruction": "i", "input": "", "response1": "x", "response2": false, "annotator1": a[0], "annotator2": a[1], "annotator3": a[2]});
    for (votes, expected) in [([1, 1, 2], [0.0, 1.0]), ([2, 2, 0], [1.0, 0.0]), ([1, 2, 0], [0.0, 0.0])] {
        assert!(matches!(one(panda(votes)), Row::Ranked { ranks, .. } if ranks == expected));
    }
    assert!(
        matches!(one(json!({"ref": "r", "responses": [{"text": "x", "human": 0.7}]})), Row::Ranked { ranks, .. } if ranks == [-0.7])
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (row, part) in [
        (
            json!({"prompt": 1, "completion": null}),
            "\"completion\" should be a string or a list of messages, it is null",
        ),
        (json!({"prompt": "a", "completions": ["b"], "ranks": []}), "1 completions, but 0 ranks"),
        (json!({"prompt": "a", "completions": [], "ranks": []}), "no completions"),
        (json!({"prompt": "a", "completions": ["b"], "ranks": ["first"]}), "should be a number"),
        (json!({"messages": [{"role": "pirate", "content": "x"}]}), "role \"pirate\""),
        (json!({"messages": [{"role": "user"}]}), "message 0 of \"messages\" has no string \"content\""),
        (json!({"messages": "hello"}), "should be a list"),
        (json!({"text": ["a"]}), "\"text\" should be a string, it is a list"),
        (json!({"prompt": "a", "completion": "b", "label": "yes"}), "true or false"),
        (json!({"history": [], "responses": [{"text": "x"}]}), "response 0"),
        (json!({"chosen": "a", "rejected": [{"role": "user", "content": "b"}]}), "both"),
        (json!({"messages": []}), "\"messages\" has no messages"),
        (json!({"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}), "in the same form"),
    ] {
        let reason = read(row).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
}

fn unused(row: Value) -> Vec<String> {
    let Json::Object(row) = Json::from(row) else { panic!("an object") };
    Format::of(&row).unwrap().read(&row).unwrap().1
}

#[test]
fn columns_that_are_not_used_are_named_but_for_those_about_the_row() {
    assert_eq!(
        unused(json!({"prompt": "a", "completion": "b", "reasoning": "c", "id": 1, "score_chosen": 2})),
        ["reasoning"]
    );
    assert_eq!(unused(json!({"prompt": "a", "completion": "b", "tools": [{}]})), ["tools"]);
    assert_eq!(unused(json!({"messages": [{"role": "user", "content": "a"}], "tools": [{}], "foo": null})), [""; 0]);
    assert_eq!(
        unused(json!({"instruction": "a", "input": "b", "output": "c", "history": [["x", "y"]], "system": "s"})),
        [""; 0]
    );
}

#[test]
fn what_a_message_says_besides_goes_on() {
    let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    let Row::Messages(talk) = one(json!({"tools": "[{\"name\": \"f\"}]", "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "q", "name": "Ann"},
        {"role": "assistant", "content": null, "tool_calls": call, "thinking": "hm", "weight": 0, "refusal": null},
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": "c", "train": true},
    ]})) else {
        panic!("a conversation")
    };
    assert_eq!((talk[0].role, talk[0].text.as_str()), (Role::Developer, "ab"));
    assert_eq!(talk[1].more.get("name"), Some(&Json::String("Ann".into())));
    assert!(!talk[2].has_text && !talk[2].trained && talk[4].trained);
    assert_eq!(talk[2].more.keys().collect::<Vec<_>>(), ["thinking", "tool_calls", "reasoning_content"]);
    assert_eq!(talk[3].role, Role::Tool);
    assert!(talk.variables.get("tools").unwrap().as_array().is_some());
}

#[test]
fn sharegpt_alpaca_and_system_columns() {
    let row =
        one(json!({"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}));
    let Row::Messages(talk) = row else { panic!() };
    let turns: Vec<_> = talk.iter().map(|m| (m.role, m.text.as_str())).collect();
    assert_eq!(turns, [(Role::System, "s"), (Role::User, "q"), (Role::Assistant, "a")]);
    let row = one(json!({"instruction": "i", "input": "", "output": "o", "history": [["q", "a"]], "system": "s"}));
    let Row::Demonstration { prompt: Content::Messages(prompt), .. } = row else { panic!() };
    assert_eq!(prompt.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["s", "q", "a", "i"]);
    let row = one(json!({"system": "s", "question": "q", "chosen": "a", "rejected": "b"}));
    let Row::Ranked { prompt: Content::Messages(prompt), completions, .. } = row else { panic!() };
    assert_eq!((prompt.len(), &completions[1]), (2, &said(Role::Assistant, "b")));
    let call = one(
        json!({"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{\"name\": \"f\"}"}]}),
    );
    assert!(matches!(call, Row::Messages(talk) if talk[1].more.has("tool_calls")));
    assert_eq!(
        one(
            json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": false})
        ),
        Row::Labelled { prompt: said(Role::User, "q"), completion: said(Role::Assistant, "a"), good: false }
    );
}

/// TRL's `maybe_extract_prompt`.
#[test]
fn a_prompt_beside_whole_conversations_is_what_both_begin_with() {
    let (user, a, b) = (
        json!({"role": "user", "content": "q"}),
        json!({"role": "assistant", "content": "a"}),
        json!({"role": "assistant", "content": "b"}),
    );
    let expected = Row::Ranked {
        prompt: said(Role::User, "q"),
        completions: vec![said(Role::Assistant, "a"), said(Role::Assistant, "b")],
        ranks: vec![0.0, 1.0],
    };
    assert_eq!(one(json!({"prompt": "q", "chosen": [user, a], "rejected": [user, b]})), expected);
    assert_eq!(one(json!({"prompt": [user], "chosen": [user, a], "rejected": [user, b]})), expected);
    let whole = one(json!({"prompt": "q", "completion": [user, a]}));
    assert_eq!(whole, Row::Demonstration { prompt: said(Role::User, "q"), completion: said(Role::Assistant, "a") });
    let other = json!({"role": "user", "content": "another"});
    assert!(
        read(json!({"prompt": [user], "chosen": [other, a], "rejected": [other, b]}))
            .unwrap_err()
            .contains("another message")
    );
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    for (message, part) in [
        (json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}), "\"image_url\"; only text"),
        (json!({"role": "assistant", "content": "a", "weight": 0.5}), "\"weight\" that should be 0 or 1"),
        (json!({"role": "assistant", "content": 7}), "it is a number"),
        (json!({"role": "assistant", "content": null}), "has no string \"content\""),
        (json!({"role": 3, "content": "a"}), "a role that should be a string"),
    ] {
        let reason = read(json!({"messages": [{"role": "user", "content": "q"}, message]})).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let reason = read(json!({"prompt": "p", "completions": many, "ranks": vec![0; 1001]})).unwrap_err();
    assert!(reason.starts_with("1001 completions of one prompt have 500500 comparisons"), "{reason}");
}

/// Every row that docs/data.md shows is of the kind that its heading says, and nothing of it is left out.
#[test]
fn the_page_shows_rows_that_are_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/data.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut shown = 0;
    for section in page.split("\n## ").skip(1) {
        let kind = section.split(':').next().unwrap_or_default().to_lowercase();
        for line in section.lines().filter(|line| line.starts_with('{')) {
            let Json::Object(row) = Json::from(serde_json::from_str::<Value>(line).unwrap()) else { panic!("{line}") };
            let format = Format::of(&row).unwrap_or_else(|| panic!("{line}: no format"));
            let (rows, unused) = format.read(&row).unwrap_or_else(|why| panic!("{line}: {why}"));
            assert!(rows.iter().all(|row| row.gives() == kind), "{line}: no {kind}");
            assert_eq!(unused.len(), 0, "{line}: {unused:?}");
            shown += 1;
        }
    }
    assert!(shown >= 10, "{shown} rows");
}
