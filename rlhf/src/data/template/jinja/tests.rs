//! What the engine writes equals what jinja2 writes; and what strangers can do with it.

use super::*;

fn render(source: &str) -> Result<String, String> {
    let context = serde_json::json!({"rlhf_generation_nonce": "N", "messages": [{"role": "user", "content": "hi"}]});
    let Json::Object(context) = Json::from(context) else { unreachable!() };
    Jinja::new(source)?.render(context.0)
}

/// scripts/jinja_expressions.py made the table.
#[test]
fn expressions_are_as_in_jinja2() {
    let text = include_str!("../../../../../tests/fixtures/jinja.json");
    let table: Json = serde_json::from_str(text).unwrap();
    let table = table.as_object().unwrap();
    let mut context = table.get("context").unwrap().as_object().unwrap().0.clone();
    context.push((NONCE.to_string(), Json::String("\u{1}".into())));
    let cases = table.get("cases").unwrap().as_array().unwrap();
    assert!(cases.len() > 900);
    let mut wrong = vec![];
    for case in cases {
        let [template, expected] = case.as_array().unwrap() else { panic!() };
        let written = Jinja::new(template.as_str().unwrap()).and_then(|jinja| jinja.render(context.clone()));
        let written = written.map(|text| text.replace("\u{1}<", "").replace("\u{1}>", ""));
        if written.as_deref().ok() != expected.as_str() {
            wrong.push(format!("{template:?} writes {written:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_generation_tag_is_found_where_it_is_one() {
    let marks = |source: &str| Jinja::new(source).unwrap().marks_completions;
    assert!(marks("{%- generation -%}a{% endgeneration %}"));
    assert!(!marks("{# with {% generation %} tags #}generation {{ 'generation' }}"));
    assert_eq!(render("a\n  {% generation %}\n  b\n  {%- endgeneration -%}  c").unwrap(), "a\nN<  bN>c");
}

#[test]
fn what_a_template_says_is_told_with_its_line() {
    assert_eq!(render("\n\n{{ raise_exception('no system') }}").unwrap_err(), "no system (line 3 of the template)");
    assert!(render("{% if %}").unwrap_err().contains("line 1"));
    assert!(render("{% include 'other' %}").unwrap_err().contains("\"include\""));
    assert!(render("x\n{{ messages[0].contents + 'a' }}").unwrap_err().contains("'contents': it is undefined (line 2"));
}

/// Chains, nesting, doubling: an error, soon, on a small stack.
#[test]
fn programs_of_strangers_are_bounded() {
    let n = 40_000;
    let attacks = vec![
        format!("{{{{ 1{} }}}}", "+1".repeat(n)),
        format!("{{{{ 1{} }}}}", "~1".repeat(n)),
        format!("{{{{ {}1 }}}}", "-".repeat(n)),
        format!("{{{{ {}1 }}}}", "not ".repeat(n)),
        format!("{{{{ a{} }}}}", ".b".repeat(n)),
        format!("{{{{ a{} }}}}", "[0]".repeat(n)),
        format!("{{{{ a{} }}}}", "()".repeat(n)),
        format!("{{{{ 1{} }}}}", "|string".repeat(n)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(n)),
        format!("{{{{ 1{} }}}}", " if 1".repeat(n)),
        format!("{{{{ 1{} }}}}", " is odd".repeat(n)),
        format!("{{{{ 1{} }}}}", "**1".repeat(n)),
        format!("{{{{ {}{} }}}}", "(".repeat(n), ")".repeat(n)),
        format!("{{{{ {}{} }}}}", "[".repeat(n), "]".repeat(n)),
        format!("{{{{ {}{} }}}}", "{1:".repeat(n), "}".repeat(n)),
        format!("{}{}", "{% if 1 %}".repeat(n), "{% endif %}".repeat(n)),
        format!("{}{}", "{% for i in [1] %}".repeat(n), "{% endfor %}".repeat(n)),
        format!("{{% for {}x{} in y %}}{{% endfor %}}", "(".repeat(n), ")".repeat(n)),
        "{% set ns=namespace(x=[1]) %}{% for i in range(30000) %}{% set ns.x=[ns.x] %}{% endfor %}{{ ns.x }}".into(),
        "{% set ns=namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x=[ns.x,ns.x] %}{% endfor %}{{ ns.x|string|length }}".into(),
        "{% set ns=namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x=[ns.x,ns.x] %}{% endfor %}{{ ns.x == [ns.x] or ns.x|tojson }}".into(),
        "{% set ns=namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x=[ns.x,ns.x] %}{% endfor %}{{ ns.x in [ns.x[:]] }}{{ ns.x < ns.x[:] }}".into(),
        "{% set ns=namespace(x='ab') %}{% for i in range(60) %}{% set ns.x=ns.x ~ ns.x %}{% endfor %}".into(),
        "{{ 'a' * 99999999999 }}".into(),
        "{{ [1] * 99999999999 }}".into(),
        "{{ '%99999999d' % 1 }}".into(),
        "{{ '{:999999999}'.format(1) }}".into(),
        "{{ 'a'.center(999999999999) }}".into(),
        "{{ 'a'.replace('', 'b' * 1000000) ~ ('ab' * 3000000).replace('a', 'bb' * 3000000) }}".into(),
        "{{ 9 ** 9 ** 9 ** 9 }}{{ 10 ** 100 }}".into(),
        "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}".into(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{% macro m(x) %}{{ m([x, x]) }}{% endmacro %}{{ m(1) }}".into(),
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(),
        "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}".into(),
        "{% for i in range(100000) %}{{ range(100000) | list | length }}{% endfor %}".into(),
        "{{ range(100000) | map('string') | list | sort | unique | list | length }}{{ ('ab ' * 100000).split() | unique | list }}{{ range(90000) | unique | list | length }}".into(),
        format!("{{{{ 'a' | map({}'upper') | list }}}}", "'map', ".repeat(n)),
        "{{ [1,2] | batch(9999999999, 1) | list }}".into(),
        "{{ [1,2] | slice(9999999999) | list }}".into(),
    ];
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let run = small.spawn(move || {
        for attack in attacks {
            let begun = std::time::Instant::now();
            let start: String = attack.chars().take(60).collect();
            assert!(render(&attack).is_err(), "{start}");
            assert!(begun.elapsed().as_secs() < 4, "{start} took {:?}", begun.elapsed());
        }
    });
    run.unwrap().join().unwrap();
}

/// Templates changed at random: text or an error, never a panic.
#[test]
fn broken_templates_never_panic() {
    let good = include_str!("../../../../../tests/fixtures/templates/qwen2_5.jinja");
    for trial in 0..3000 {
        let mut draws = kernels::Rng::new(11).fold(trial).draws();
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=draws.below(4) {
            let at = draws.below(bytes.len());
            match draws.below(4) {
                0 => bytes[at] = draws.below(128) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *draws.choose(b"{}%|[]().,~'\"-+*/<>=!: \n")),
                _ => {
                    let from = draws.below(bytes.len());
                    let part = bytes[from..(from + draws.below(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        let _ = render(&String::from_utf8_lossy(&bytes));
    }
}
