//! Tables of what expands to what, and what must never be read twice.

use proptest::prelude::*;

use super::*;

fn values(variable: &Variable) -> Option<String> {
    match variable {
        Variable::Named(name) if name == "mesh.model" => None,
        Variable::Named(name) => Some(format!("<{name}>")),
        Variable::Env(name) if name == "UNSET" => None,
        Variable::Env(name) => Some(format!("[{name}]")),
    }
}

fn expand(text: &str) -> String {
    Template::parse(text).unwrap().expand(&values).unwrap()
}

#[test]
fn what_expands_to_what() {
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("{{ mesh.mcp_url }}", "<mesh.mcp_url>"),
        ("{{mesh.mcp_url}}", "<mesh.mcp_url>"),
        ("a {{ task.id }} b", "a <task.id> b"),
        ("{{ task.id }} {{ agent.id }}", "<task.id> <agent.id>"),
        ("  {{ task.id }}\n", "  <task.id>\n"),
        ("{{ env.HOME }}", "[HOME]"),
        ("$HOME/src", "[HOME]/src"),
        ("${HOME}src", "[HOME]src"),
        ("$_A1.x", "[_A1].x"),
        ("$HOMEsrc", "[HOME]src"),
        ("$$HOME", "$HOME"),
        ("$$$HOME", "$[HOME]"),
        ("$", "$"),
        ("a$", "a$"),
        ("$1 costs 5$", "$1 costs 5$"),
        ("$home ${home} ${} ${HOME", "$home ${home} ${} ${HOME"),
        ("${{ env.HOME }}", "$[HOME]"),
        ("$${{ env.HOME }}", "$[HOME]"),
        ("$$HOME {{ task.id }} $$", "$HOME <task.id> $"),
        ("{ a: 1 } }}", "{ a: 1 } }}"),
        ("&<>\"'", "&<>\"'"),
        (r"\{{ task.id }}", "{{ task.id }}"),
        (r"\\{{ task.id }}", r"\<task.id>"),
        (r"$\{{ HOME }}", "${{ HOME }}"),
        (r"C:\dir\$HOME", r"C:\dir\[HOME]"),
    ] {
        assert_eq!(expand(text), expected, "{text:?}");
    }
    for name in VARIABLES.iter().filter(|name| **name != "mesh.model") {
        assert_eq!(expand(&format!("{{{{ {name} }}}}")), format!("<{name}>"));
    }
}

#[test]
fn what_is_refused_and_how() {
    let mut table = String::new();
    for text in [
        "{{ mesh.mcp }}",
        "{{ mesh.mcp_ur }}",
        "{{ mcp_url }}",
        "{{ HOME }}",
        "{{ env.home }}",
        "{{ env.a-b }}",
        "{{ env }}",
        "{{ this }}",
        "{{ ../task.id }}",
        "{{ task/id }}",
        "{{ @root.task.id }}",
        "{{ [task.id] }}",
        "{{{ task.id }}}",
        "{{& task.id }}",
        "{{~ task.id }}",
        "{{ task.id ~}}",
        "{{! note }}",
        "{{!-- note --}}",
        "{{> partial }}",
        "{{* decorator }}",
        "{{#if task.id}}x{{/if}}",
        "{{#if task.id}}x{{else}}y{{/if}}",
        "{{{{raw}}}}x{{{{/raw}}}}",
        "{{ lookup task.id }}",
        "{{ task.id x=1 }}",
        "{{ (lookup task.id 1) }}",
        "{{ }}",
        "{{ task.id",
        "x {{",
        "{{ \"task.id\" }}",
        "{{ 1 }}",
        "{{else}}",
        "{{/if}}",
    ] {
        let error = Template::parse(text).unwrap_err();
        table.push_str(&format!("{text}\n    {error}\n"));
    }
    for text in ["{{ mesh.model }}", "$UNSET", "${UNSET}", "{{ env.UNSET }}"] {
        let error = Template::parse(text).unwrap().expand(&values).unwrap_err();
        table.push_str(&format!("{text}\n    {error}\n"));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn variables_are_listed_in_the_order_written() {
    let template = Template::parse("{{ task.id }}$HOME $$NO{{ env.A }}").unwrap();
    let names: Vec<String> = template.variables().map(ToString::to_string).collect();
    assert_eq!(names, ["{{ task.id }}", "$HOME", "$A"]);
}

#[test]
fn a_variable_without_a_value_matters_only_where_it_is_used() {
    assert!(Template::parse("{{ mesh.model }}").is_ok());
    assert_eq!(expand("{{ mesh.mcp_url }}"), "<mesh.mcp_url>");
}

proptest! {
    #[test]
    fn text_without_variables_is_unchanged(text in "[^$]*") {
        prop_assume!(!text.contains("{{"));
        prop_assert_eq!(expand(&text), text);
    }

    /// White space, backslashes and braces around variables survive, values are copied.
    #[test]
    fn pieces_join_as_they_were_written(
        pieces in prop::collection::vec((r"[ \t\n}a-z/.:\\-]{0,6}", 0_usize..4, r"[ \n${}A-Z\\]{0,8}"), 0..6),
    ) {
        let (mut text, mut expected) = (String::new(), String::new());
        let mut inserted = Vec::new();
        for (literal, form, value) in &pieces {
            // A backslash at a brace is an escape, which the table covers.
            let literal = literal.trim_end_matches('\\');
            text.push_str(literal);
            text.push_str(["{{ task.id }}", "{{env.A}}", "${A}", "$A"][*form]);
            text.push('.');
            expected.push_str(literal);
            expected.push_str(value);
            expected.push('.');
            inserted.push(value.clone());
        }
        let next = std::cell::Cell::new(0);
        let expanded = Template::parse(&text).unwrap().expand(&|_| {
            let value = inserted.get(next.get()).cloned();
            next.set(next.get() + 1);
            value
        });
        prop_assert_eq!(expanded.unwrap(), expected);
    }

    #[test]
    fn what_a_value_brings_in_is_never_read_again(value in ".*(\\{\\{ task.id \\}\\}|\\$HOME|\\$\\$|\\$\\{HOME\\}).*") {
        for text in ["{{ task.id }}", "$A", "${A}", "{{ env.A }}"] {
            let expanded = Template::parse(text).unwrap().expand(&|_| Some(value.clone()));
            prop_assert_eq!(expanded.unwrap(), value.clone());
        }
    }

    #[test]
    fn no_text_panics(text in r"[{}$~!#/&>*^\\ a.'|=()\[\]\n-]{0,24}|(\{\{|\}\}|\{|\}|else|if|#|/| |x|\\|~|as|\|){0,12}") {
        let _ = Template::parse(&text);
    }
}

#[test]
fn nesting_without_end_is_refused_not_followed() {
    for piece in [
        "{{#if a}}",
        "{{ (a ",
        "{{ a (a ",
        "(a ",
        "{{#",
        "{{{{a}}}}",
        "{{ [",
        "{{ [[",
        "{",
    ] {
        let mut text = String::from("{{ x ");
        text.push_str(&piece.repeat(20_000));
        assert!(Template::parse(&text).is_err(), "{piece}");
    }
    for (open, close) in [("{{#if a}}", "{{/if}}"), ("(a ", ")"), ("a (", ")")] {
        let text = format!(
            "{{{{ x {}1{} }}}}",
            open.repeat(20_000),
            close.repeat(20_000)
        );
        assert!(Template::parse(&text).is_err(), "{open}");
        let text = format!("{}x{}", open.repeat(20_000), close.repeat(20_000));
        assert!(
            Template::parse(&text).is_err() != open.contains('('),
            "{open}"
        );
    }
}

#[test]
fn a_variable_of_the_run_is_pointed_to_its_template() {
    let variable = Variable::Env("TASK_PROMPT_PATH".to_owned());
    assert_eq!(
        TemplateError::unset(&variable).to_string(),
        "$TASK_PROMPT_PATH has no value; only the run's processes have it: write {{ task.prompt_path }} here, \
         or $$TASK_PROMPT_PATH for a shell of the run to expand"
    );
    for (_, same) in OF_THE_RUN {
        assert!(VARIABLES.contains(same), "{same}");
    }
}
