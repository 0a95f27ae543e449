//! What is sent to models.

#![expect(clippy::unwrap_used, reason = "a request that is not valid is to fail")]

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tailrace_agent::api::request;
use tailrace_agent::conversation::{Call, Content, Conversation, Message, Part, Role, Tool};
use tailrace_model::control::agent::{Agent, Api};

const APIS: [Api; 3] = [Api::Chat, Api::Responses, Api::Messages];

fn agent(api: Api) -> Agent {
    let configured = json!({
        "api": api, "baseUrl": "https://x.test/v1", "model": "m-1", "debounceMs": 0, "onInput": "queue", "maxTurns": 1,
        "totalMs": 1000, "idleMs": 1000,
    });
    serde_json::from_value(configured).unwrap()
}

fn options(options: &Value) -> Map<String, Value> {
    options.as_object().unwrap().clone()
}

fn said(role: Role, text: &str) -> Message {
    Message::Input { role, content: Content::Text(text.to_owned()) }
}

fn call(id: &str, name: &str, arguments: &str) -> Call {
    Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn output(content: &str, calls: Vec<Call>) -> Message {
    Message::Output { content: content.to_owned(), calls }
}

fn result(id: &str, content: &str, failed: bool) -> Message {
    Message::Result { id: id.to_owned(), content: content.to_owned(), failed }
}

fn of(messages: Vec<Message>) -> Conversation {
    Conversation { messages, tools: Vec::new() }
}

/// Everything that a conversation can hold.
fn everything() -> Conversation {
    let image = |url: &str| Part::Image(url.to_owned());
    let parts = vec![
        Part::Text("Look:".to_owned()),
        Part::Text(" ".to_owned()),
        image("https://x.test/a.png"),
        image("data:image/png;base64,aGk="),
    ];
    Conversation {
        messages: vec![
            said(Role::System, "It is Monday."),
            Message::Input { role: Role::User, content: Content::Parts(parts) },
            output(
                "Looking.",
                vec![call("call_1_0", "weather", "{\"city\": \"Köln\"}"), call("call_1_1", "clock", "")],
            ),
            result("call_1_0", "{\"rain\":true}", false),
            result("call_1_1", "no clock", true),
            said(Role::User, "Well?"),
            output("It rains.", vec![]),
            said(Role::User, "Thanks!"),
        ],
        tools: vec![
            Tool {
                name: "weather".to_owned(),
                description: Some("How it is outside".to_owned()),
                parameters: Some(
                    RawValue::from_string("{\"type\":\"object\", \"z\":1.0,\"a\":1e400}".to_owned()).unwrap(),
                ),
            },
            Tool { name: "clock".to_owned(), description: None, parameters: None },
        ],
    }
}

fn body(agent: &Agent, conversation: &Conversation) -> Value {
    serde_json::from_str(&request(agent, conversation).body).unwrap()
}

#[test]
fn a_chat_completion_is_asked_for_in_its_own_words() {
    let agent = Agent {
        system: Some("Be brief.".to_owned()),
        options: options(&json!({"temperature": 0.5, "a": {"z": 1, "b": 2}})),
        ..agent(Api::Chat)
    };
    let expected = concat!(
        r#"{"model":"m-1","messages":["#,
        r#"{"role":"system","content":"Be brief."},"#,
        r#"{"role":"system","content":"It is Monday."},"#,
        r#"{"role":"user","content":[{"type":"text","text":"Look:"},"#,
        r#"{"type":"image_url","image_url":{"url":"https://x.test/a.png"}},"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]},"#,
        r#"{"role":"assistant","content":"Looking.","tool_calls":["#,
        r#"{"id":"call_1_0","type":"function","function":{"name":"weather","arguments":"{\"city\": \"Köln\"}"}},"#,
        r#"{"id":"call_1_1","type":"function","function":{"name":"clock","arguments":"{}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"call_1_0","content":"{\"rain\":true}"},"#,
        r#"{"role":"tool","tool_call_id":"call_1_1","content":"no clock"},"#,
        r#"{"role":"user","content":"Well?"},"#,
        r#"{"role":"assistant","content":"It rains."},"#,
        r#"{"role":"user","content":"Thanks!"}],"#,
        r#""tools":[{"type":"function","function":{"name":"weather","description":"How it is outside","#,
        r#""parameters":{"type":"object", "z":1.0,"a":1e400}}},"#,
        r#"{"type":"function","function":{"name":"clock","parameters":{"type":"object","properties":{}}}}],"#,
        r#""stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"a":{"z":1,"b":2}}"#,
    );
    assert_eq!(request(&agent, &everything()).body, expected);
}

#[test]
fn a_response_is_asked_for_in_its_own_words() {
    let agent = Agent {
        system: Some("Be brief.".to_owned()),
        options: options(&json!({"reasoning": {"effort": "low"}})),
        ..agent(Api::Responses)
    };
    let expected = concat!(
        r#"{"model":"m-1","instructions":"Be brief.","input":["#,
        r#"{"type":"message","role":"developer","content":"It is Monday."},"#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Look:"},"#,
        r#"{"type":"input_image","image_url":"https://x.test/a.png","detail":"auto"},"#,
        r#"{"type":"input_image","image_url":"data:image/png;base64,aGk=","detail":"auto"}]},"#,
        r#"{"type":"message","role":"assistant","content":"Looking."},"#,
        r#"{"type":"function_call","call_id":"call_1_0","name":"weather","arguments":"{\"city\": \"Köln\"}"},"#,
        r#"{"type":"function_call","call_id":"call_1_1","name":"clock","arguments":"{}"},"#,
        r#"{"type":"function_call_output","call_id":"call_1_0","output":"{\"rain\":true}"},"#,
        r#"{"type":"function_call_output","call_id":"call_1_1","output":"no clock"},"#,
        r#"{"type":"message","role":"user","content":"Well?"},"#,
        r#"{"type":"message","role":"assistant","content":"It rains."},"#,
        r#"{"type":"message","role":"user","content":"Thanks!"}],"#,
        r#""tools":[{"type":"function","name":"weather","description":"How it is outside","#,
        r#""parameters":{"type":"object", "z":1.0,"a":1e400},"strict":false},"#,
        r#"{"type":"function","name":"clock","parameters":{"type":"object","properties":{}},"strict":false}],"#,
        r#""stream":true,"store":false,"reasoning":{"effort":"low"}}"#,
    );
    assert_eq!(request(&agent, &everything()).body, expected);
}

#[test]
fn a_message_is_asked_for_in_its_own_words() {
    let agent = Agent { system: Some("Be brief.".to_owned()), ..agent(Api::Messages) };
    let expected = concat!(
        r#"{"model":"m-1","max_tokens":4096,"system":"Be brief.","messages":["#,
        r#"{"role":"user","content":[{"type":"text","text":"<context>\nIt is Monday.\n</context>"},"#,
        r#"{"type":"text","text":"Look:"},"#,
        r#"{"type":"image","source":{"type":"url","url":"https://x.test/a.png"}},"#,
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"Looking."},"#,
        r#"{"type":"tool_use","id":"call_1_0","name":"weather","input":{"city": "Köln"}},"#,
        r#"{"type":"tool_use","id":"call_1_1","name":"clock","input":{}}]},"#,
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1_0","content":"{\"rain\":true}"},"#,
        r#"{"type":"tool_result","tool_use_id":"call_1_1","content":"no clock","is_error":true},"#,
        r#"{"type":"text","text":"Well?"}]},"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"It rains."}]},"#,
        r#"{"role":"user","content":[{"type":"text","text":"Thanks!"}]}],"#,
        r#""tools":[{"name":"weather","description":"How it is outside","#,
        r#""input_schema":{"type":"object", "z":1.0,"a":1e400}},"#,
        r#"{"name":"clock","input_schema":{"type":"object","properties":{}}}],"stream":true}"#,
    );
    assert_eq!(request(&agent, &everything()).body, expected);
}

#[test]
fn a_request_says_where_to_and_how_the_secret_is_carried() {
    let conversation = of(vec![said(Role::User, "Hi")]);
    for (api, url, credential) in [
        (Api::Chat, "https://x.test/v1/chat/completions", ("authorization", "Bearer ")),
        (Api::Responses, "https://x.test/v1/responses", ("authorization", "Bearer ")),
        (Api::Messages, "https://x.test/v1/messages", ("x-api-key", "")),
    ] {
        let request = request(&agent(api), &conversation);
        assert_eq!((request.url.as_str(), request.credential), (url, credential));
        let header = |name: &str| request.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("accept"), Some("text/event-stream"));
        assert_eq!(header("anthropic-version"), (api == Api::Messages).then_some("2023-06-01"));
    }
}

#[test]
fn options_may_say_what_is_only_a_default() {
    let conversation = of(vec![said(Role::User, "Hi")]);
    let chat = Agent { options: options(&json!({"stream_options": {"x": 1}})), ..agent(Api::Chat) };
    let text = request(&chat, &conversation).body;
    assert!(text.ends_with(r#""stream":true,"stream_options":{"x":1}}"#) && !text.contains("include_usage"), "{text}");
    let messages = Agent { options: options(&json!({"max_tokens": 9})), ..agent(Api::Messages) };
    let text = request(&messages, &conversation).body;
    assert!(text.ends_with(r#""stream":true,"max_tokens":9}"#) && !text.contains("4096"), "{text}");
}

#[test]
fn without_tools_and_prompt_nothing_is_said_of_them() {
    for api in APIS {
        for system in [None, Some(String::new())] {
            let body = body(&Agent { system, ..agent(api) }, &of(vec![said(Role::User, "Hi")]));
            let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(
                !keys.contains(&"tools") && !keys.contains(&"system") && !keys.contains(&"instructions"),
                "{keys:?}"
            );
            assert_eq!(body.to_string().matches("\"role\"").count(), 1, "{body}");
        }
    }
}

#[test]
fn an_empty_conversation_is_a_valid_request() {
    for nothing in [of(vec![]), of(vec![output("", vec![])])] {
        assert_eq!(
            body(&agent(Api::Chat), &nothing)["messages"],
            json!([{"role": "user", "content": "(The conversation begins.)"}])
        );
        assert_eq!(
            body(&agent(Api::Responses), &nothing)["input"],
            json!([{"type": "message", "role": "user", "content": "(The conversation begins.)"}])
        );
    }
    for nothing in [of(vec![]), of(vec![output("", vec![])]), of(vec![said(Role::User, " ")])] {
        assert_eq!(
            body(&agent(Api::Messages), &nothing)["messages"],
            json!([{"role": "user", "content": [{"type": "text", "text": "(The conversation begins.)"}]}])
        );
    }
}

#[test]
fn messages_take_turns_and_the_user_has_the_first_and_the_last_word() {
    let conversation = of(vec![
        said(Role::Assistant, "Hello, I am here."),
        output("What can I do?", vec![]),
        said(Role::System, "It is Monday."),
        said(Role::User, ""),
        said(Role::User, "Sing!"),
        output("", vec![]),
        output("La.", vec![]),
    ]);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        body(&agent(Api::Messages), &conversation)["messages"],
        json!([
            {"role": "user", "content": [text("(The conversation begins.)")]},
            {"role": "assistant", "content": [text("Hello, I am here."), text("What can I do?")]},
            {"role": "user", "content": [text("<context>\nIt is Monday.\n</context>"), text("Sing!")]},
            {"role": "assistant", "content": [text("La.")]},
            {"role": "user", "content": [text("(Go on.)")]},
        ])
    );
}

#[test]
fn an_answer_without_text_has_none_and_one_without_anything_is_left_out() {
    let conversation = of(vec![
        said(Role::User, "Hi"),
        output("", vec![]),
        output("", vec![call("c", "a", "{}")]),
        result("c", "", false),
    ]);
    let call = json!({"id": "c", "type": "function", "function": {"name": "a", "arguments": "{}"}});
    assert_eq!(
        body(&agent(Api::Chat), &conversation)["messages"],
        json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": ""},
        ])
    );
    assert_eq!(
        body(&agent(Api::Responses), &conversation)["input"],
        json!([
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": ""},
        ])
    );
    assert_eq!(
        body(&agent(Api::Messages), &conversation)["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "a", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]},
        ])
    );
}

#[test]
fn what_a_model_wrote_wrongly_does_not_spoil_the_requests_that_follow() {
    let wrong = ["{\"a\":", "[1]", "null", "oops", "\"{}\"", "{} {}"];
    for arguments in wrong {
        let conversation = of(vec![output("", vec![call("c", "no such/tööl", arguments)]), result("c", "?", true)]);
        let chat = &body(&agent(Api::Chat), &conversation)["messages"][0]["tool_calls"][0]["function"];
        assert_eq!(*chat, json!({"name": "no_such_t__l", "arguments": "{}"}));
        let responses = &body(&agent(Api::Responses), &conversation)["input"][0];
        assert_eq!((&responses["name"], &responses["arguments"]), (&json!("no_such_t__l"), &json!("{}")));
        let messages = &body(&agent(Api::Messages), &conversation)["messages"][1]["content"][0];
        assert_eq!((&messages["name"], &messages["input"]), (&json!("no_such_t__l"), &json!({})));
    }
    let long = of(vec![output("", vec![call("c", &"n".repeat(65), "{}"), call("d", "", "{}")])]);
    let calls = &body(&agent(Api::Chat), &long)["messages"][0]["tool_calls"];
    assert_eq!(calls[0]["function"]["name"], "n".repeat(64));
    assert_eq!(calls[1]["function"]["name"], "unknown");
}

#[test]
fn images_are_said_by_a_user_or_not_at_all() {
    let parts = || {
        let image = Part::Image("https://x.test/a.png".to_owned());
        Content::Parts(vec![Part::Text("See".to_owned()), image])
    };
    let conversation = of(vec![
        Message::Input { role: Role::System, content: parts() },
        Message::Input { role: Role::Assistant, content: parts() },
    ]);
    let chat = &body(&agent(Api::Chat), &conversation)["messages"];
    assert_eq!(
        (&chat[0]["role"], &chat[0]["content"][0]["text"]),
        (&json!("user"), &json!("<context>\nSee\n</context>"))
    );
    assert_eq!(chat[0]["content"][1]["image_url"]["url"], "https://x.test/a.png");
    assert_eq!(chat[1], json!({"role": "assistant", "content": "See\n[image]"}));
    let responses = &body(&agent(Api::Responses), &conversation)["input"];
    assert_eq!((&responses[0]["role"], &responses[0]["content"][1]["type"]), (&json!("user"), &json!("input_image")));
    assert_eq!(responses[1]["content"], "See\n[image]");
    let messages = &body(&agent(Api::Messages), &conversation)["messages"];
    assert_eq!(messages[0]["content"][1]["source"]["type"], "url");
    assert_eq!(messages[1]["content"][0]["text"], "See\n[image]");
}

fn any_content() -> impl Strategy<Value = Content> {
    let part = prop_oneof![any::<String>().prop_map(Part::Text), ".{0,20}".prop_map(Part::Image)];
    prop_oneof![any::<String>().prop_map(Content::Text), prop::collection::vec(part, 0..4).prop_map(Content::Parts),]
}

fn any_message() -> impl Strategy<Value = Message> {
    let role = prop_oneof![Just(Role::User), Just(Role::System), Just(Role::Assistant)];
    let arguments = prop_oneof![any::<String>(), Just("{\"a\":[1]}".to_owned())];
    let calls = prop::collection::vec((any::<String>(), any::<String>(), arguments), 0..3);
    prop_oneof![
        (role, any_content()).prop_map(|(role, content)| Message::Input { role, content }),
        (any::<String>(), calls).prop_map(|(content, calls)| {
            let calls = calls.into_iter().map(|(id, name, arguments)| Call { id, name, arguments }).collect();
            Message::Output { content, calls }
        }),
        (any::<String>(), any::<String>(), any::<bool>()).prop_map(|(id, content, failed)| Message::Result {
            id,
            content,
            failed
        }),
    ]
}

proptest! {
    #[test]
    fn every_conversation_gives_valid_json_and_always_the_same(
        messages in prop::collection::vec(any_message(), 0..8),
        system: Option<String>,
    ) {
        let conversation = of(messages);
        for api in APIS {
            let agent = Agent { system: system.clone(), ..agent(api) };
            let first = request(&agent, &conversation);
            prop_assert_eq!(&first, &request(&agent.clone(), &conversation.clone()));
            prop_assert!(serde_json::from_str::<Value>(&first.body).unwrap().is_object());
        }
    }

    #[test]
    fn any_messages_take_turns_and_none_is_blank(messages in prop::collection::vec(any_message(), 0..8)) {
        let body = body(&agent(Api::Messages), &of(messages));
        let turns = body["messages"].as_array().unwrap();
        for (index, turn) in turns.iter().enumerate() {
            prop_assert_eq!(&turn["role"], ["user", "assistant"][index % 2]);
            let blocks = turn["content"].as_array().unwrap();
            prop_assert!(!blocks.is_empty());
            let results = blocks.iter().take_while(|block| block["type"] == "tool_result").count();
            for block in &blocks[results..] {
                prop_assert!(block["type"] != "tool_result", "results come first");
                prop_assert!(block["text"].as_str().is_none_or(|text| !text.trim().is_empty()));
            }
        }
        prop_assert_eq!(turns.len() % 2, 1, "the user has the last word");
    }
}
