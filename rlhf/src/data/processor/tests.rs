//! What is trained, cut and told of rows.

use super::*;
use crate::data::Role;

fn processor(context: usize) -> Processor {
    let tokenizer = Tokenizer::train(["no merges"], 257, &["<|endoftext|>"]);
    Processor::new(tokenizer, context, Template::dialogue(), &[]).unwrap()
}

#[test]
fn the_completion_and_its_end_are_trained() {
    let processor = processor(16);
    let example = processor.demonstration("ab", " c");
    assert_eq!(processor.tokenizer.decode(&example.tokens), "ab c<|endoftext|>");
    assert_eq!(example.weights, [0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn a_dialogue_is_a_demonstration_for_every_completion() {
    use Role::*;
    let processor = processor(100);
    let said = |role, text: &str| Message::new(role, text);
    let row = Row::Messages(vec![said(User, "a"), said(Assistant, "b"), said(User, "c"), said(Assistant, "d")].into());
    let trained = |example: &Example| {
        let trained = example.tokens.iter().zip(&example.weights).filter(|(_, weight)| **weight != 0.0);
        processor.tokenizer.decode(&trained.map(|(&id, _)| id).collect::<Vec<_>>())
    };
    let examples = processor.demonstrations(&[row]).unwrap();
    assert_eq!(examples.iter().map(trained).collect::<Vec<_>>(), [" b<|endoftext|>", " d<|endoftext|>"]);
    assert!(processor.tokenizer.decode(&examples[1].tokens).starts_with("\n\nHuman: a\n\nAssistant: b\n\nHuman: c"));
}

#[test]
fn a_long_prompt_loses_its_beginning_and_a_long_completion_its_end() {
    let processor = processor(8);
    let check = |prompt: &str, completions: &[&str], kept: &str, kept_completions: &[&str], cuts: [usize; 4]| {
        let completions: Vec<String> = completions.iter().map(|completion| completion.to_string()).collect();
        let ranking = processor.ranking(prompt, &completions, &[], &vec![0.0; completions.len()]);
        assert_eq!(processor.tokenizer.decode(&ranking.prompt), kept);
        let decoded: Vec<String> =
            ranking.completions.iter().map(|c| processor.tokenizer.decode(c).replace("<|endoftext|>", "$")).collect();
        assert_eq!(decoded, kept_completions);
        let Cuts { prompts, prompt_tokens, completions, completion_tokens, .. } = processor.take_cuts();
        assert_eq!([prompts, prompt_tokens, completions, completion_tokens], cuts);
    };
    check("abc", &["wxyz", ""], "abc", &["wxyz$", "$"], [0, 0, 0, 0]);
    check("abcdefgh", &["yz"], "defgh", &["yz$"], [1, 3, 0, 0]);
    check("ab", &["123456789", "1"], "ab", &["123456", "1$"], [0, 0, 1, 4]);
    check("abcdefgh", &["123456789"], "efgh", &["1234"], [1, 4, 1, 6]);
}

#[test]
fn prompts_leave_room_and_come_once() {
    let processor = processor(8);
    let rows = ["abcdefgh", "x", "abcdefgh"].map(|prompt| Row::Prompt(prompt.into()));
    let prompts = processor.prompts(&rows, 5).unwrap();
    assert_eq!(prompts.iter().map(|p| processor.tokenizer.decode(p)).collect::<Vec<_>>(), ["fgh", "x"]);
    let report = processor.cut_report().unwrap();
    assert!(report.starts_with("context of 8: of 2 rows, 1 prompts lost their beginning (5 tokens)"), "{report}");
    assert_eq!(processor.cut_report(), None, "told once");
}

#[test]
fn every_token_of_the_texts_is_trained_once() {
    for context in 2..12 {
        let processor = processor(context);
        let windows = processor.windows_in_order(["abcde", "", "fgh"]);
        assert!(windows.iter().all(|window| (2..=context).contains(&window.tokens.len())));
        let trained: Vec<u32> = windows.iter().flat_map(|window| window.tokens[1..].to_vec()).collect();
        assert_eq!(processor.tokenizer.decode(&trained).replace("<|endoftext|>", "$"), "abcde$$fgh$");
        assert_eq!(windows[0].tokens[0], processor.eos);
    }
}

/// ChatML, with tools and reasoning where they are asked for.
fn chat(context: usize, extra: &str) -> Processor {
    let tokenizer = Tokenizer::train(["no merges"], 259, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
    let source = format!(
        "{{% for m in messages %}}{{% if m.role == 'system' and loop.index > 1 %}}{{{{ raise_exception('no system here') }}}}{{% endif %}}\
         {{{{ '<|im_start|>' + m.role + '\n' }}}}{extra}{{{{ m.content }}}}{{{{ '<|im_end|>\n' }}}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\n' }}}}{{% endif %}}"
    );
    Processor::new(tokenizer, context, Template::new(source, "chat_template.jinja".into()).unwrap(), &[]).unwrap()
}

fn rows_of(lines: &str) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    std::fs::write(&path, lines).unwrap();
    crate::data::load(&[&path]).unwrap()
}

fn trained(processor: &Processor, row: &Row) -> Vec<String> {
    let examples = processor.demonstrations_of(row).unwrap();
    let text = |example: &Example| {
        let ids = example.tokens.iter().zip(&example.weights).filter(|(_, weight)| **weight != 0.0);
        processor.tokenizer.decode(&ids.map(|(&id, _)| id).collect::<Vec<_>>())
    };
    examples.iter().map(text).collect()
}

const CALLS: &str = "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}";

#[test]
fn what_a_template_writes_is_trained_and_what_it_does_not_is_told() {
    let call = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"b":1,"a":"<|im_end|>"}]}]}"#;
    let rows = rows_of(call);
    let processor = chat(200, CALLS);
    assert_eq!(trained(&processor, &rows[0]), ["[{\"b\": 1, \"a\": \"<|im_end|>\"}]<|im_end|>"]);
    assert_eq!(processor.take_notes().len(), 0);
    let error = chat(200, "").demonstrations_of(&rows[0]).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:1: ") && error.contains("tool_calls"), "{error}");

    let thinks = rows_of(
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","thinking":"hm"}],"tools":[{}]}"#,
    );
    assert_eq!(trained(&processor, &thinks[0]), ["<think>hm</think>a<|im_end|>"]);
    assert!(processor.cut_report().unwrap().contains("in 1 rows \"tools\" is not used"));
    let processor = chat(200, "");
    assert_eq!(trained(&processor, &thinks[0]), ["a<|im_end|>"]);
    assert!(processor.cut_report().unwrap().contains("\"reasoning_content\" of messages is not written"));
}

#[test]
fn weight_0_is_not_trained() {
    let lines = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Wrong","weight":0},{"role":"user","content":"r"},{"role":"assistant","content":"Right","weight":1}]}
{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Wrong","loss":false}]}
{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a","train":false},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]}"#;
    let rows = rows_of(lines);
    for processor in [chat(200, ""), {
        let source = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}\
                      {% else %}{{ m.content }}{% endif %}{% endfor %}";
        let tokenizer = Tokenizer::train(["no merges"], 259, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
        Processor::new(tokenizer, 200, Template::new(source.into(), "t".into()).unwrap(), &[]).unwrap()
    }] {
        assert_eq!(trained(&processor, &rows[0]), ["Right<|im_end|>"]);
        assert_eq!(trained(&processor, &rows[1]), [""; 0]);
        assert_eq!(trained(&processor, &rows[2]), ["b<|im_end|>"]);
        let error = processor.demonstrations(&rows[1..2]).unwrap_err().to_string();
        assert!(error.contains("1 have no completion of the assistant with a weight above 0"), "{error}");
    }
}

#[test]
fn a_prompt_that_ends_with_the_assistant_is_continued() {
    let processor = chat(200, "");
    let said = Message::new;
    let prompt = vec![said(Role::User, "Sky?"), said(Role::Assistant, "It is ")];
    let ids = processor.prompt_of(&prompt.clone().into()).unwrap();
    assert_eq!(processor.tokenizer.decode(&ids), "<|im_start|>user\nSky?<|im_end|>\n<|im_start|>assistant\nIt is ");
    let row = Row::Demonstration { prompt: prompt.into(), completion: vec![said(Role::Assistant, "blue.")].into() };
    assert_eq!(trained(&processor, &row), ["blue.<|im_end|>"]);
}

#[test]
fn a_row_that_the_template_refuses_is_named() {
    let good = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;
    let bad = r#"{"messages":[{"role":"user","content":"q"},{"role":"system","content":"s"},{"role":"assistant","content":"a"}]}"#;
    let rows = rows_of(&format!("{good}\n\n{bad}"));
    let error = chat(200, "").demonstrations(&rows).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:3: the model's chat template") && error.contains("no system here"), "{error}");
}

#[test]
fn what_took_all_rows_is_said() {
    let long = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}},{{\"role\":\"assistant\",\"content\":\"a\"}}]}}",
        "x".repeat(90)
    );
    let error = chat(64, "").demonstrations(&rows_of(&long)).unwrap_err().to_string();
    assert!(error.starts_with("1 demonstrations, and nothing is left") && error.contains("context of 64"), "{error}");
    let bad = rows_of(r#"{"prompt":"a","completion":"b","label":false}"#);
    assert!(chat(64, "").demonstrations(&bad).unwrap_err().to_string().contains("1 are labelled as bad"));
}

#[test]
fn pairs_that_are_equal_once_cut_are_left_out_and_counted() {
    let (long, processor) = ("x".repeat(90), chat(32, ""));
    let pair = |a: &str, b: &str| {
        let completions = vec![a.into(), b.into()];
        Row::Ranked { prompt: "q".into(), completions, ranks: vec![0.0, 1.0] }
    };
    let (same, other) = (pair(&format!("{long}a"), &format!("{long}b")), pair("a", "b"));
    assert_eq!(processor.comparisons(&[same.clone(), other]).unwrap().len(), 1);
    assert!(processor.cut_report().unwrap().contains("1 of 2 pairs are equal once they are cut"));
    let error = processor.comparisons(&[same]).unwrap_err().to_string();
    assert!(error.contains("1 pairs are equal once they are cut to the context of 32"), "{error}");
}

#[test]
fn bare_strings_are_told_and_can_be_turns() {
    let row = &rows_of(r#"{"prompt":"q","completion":"a"}"#)[0];
    let mut processor = chat(100, "");
    assert_eq!(trained(&processor, row), ["a<|endoftext|>"]);
    assert!(processor.cut_report().unwrap().contains("--chat"));
    processor.chat = true;
    assert_eq!(trained(&processor, row), ["a<|im_end|>"]);
    assert_eq!(processor.cut_report(), None);
}
