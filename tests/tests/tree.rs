//! The tree: parents know their children, what holds for all below holds, and the deleted can be born again.

use serde_json::{Value, json};
use tailrace_tests::runtime::{a_stream, shared};
use tailrace_tests::{Stream, unique, until};

async fn gone(stream: &Stream) {
    until(&format!("{} is gone", stream.path), || async { (stream.head().await.status == 404).then_some(()) }).await;
}

async fn lists(parent: &Stream, paths: &[&str]) {
    let wanted: Vec<String> = paths.iter().map(|name| parent.child(name).path).collect();
    until(&format!("{} lists {wanted:?}", parent.path), || async {
        if parent.head().await.status != 200 {
            return None;
        }
        (parent.child_paths("").await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_birth_makes_the_missing_parents_and_each_is_told_of_its_own_children_once() {
    let top = a_stream();
    let leaf = top.child("b").child("c");

    leaf.say("a").await;
    leaf.say("a").await;
    leaf.child("d").say("a").await;

    for (parent, child) in [(&top, &top.child("b")), (&top.child("b"), &leaf), (&leaf, &leaf.child("d"))] {
        let told = parent.wait_for("stream.child-created").await;
        assert_eq!(told["payload"], json!({"path": child.path, "generation": child.generation().await}));
        assert_eq!(parent.of_type("stream.child-created").await.len(), 1);
    }
    assert_eq!(top.events().await[0]["type"], "stream.created");
}

#[tokio::test]
async fn children_are_listed_page_by_page() {
    let parent = a_stream();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        parent.child(name).say("x").await;
    }
    parent.child("a").child("deep").say("x").await;
    lists(&parent, &names).await;

    let first = parent.children("?limit=2").await;
    let after = first["after"].as_str().unwrap().to_owned();
    let second = parent.children(&format!("?limit=10&after={after}")).await;

    assert_eq!(after, parent.child("b").path);
    assert_eq!(second["children"].as_array().unwrap().len(), 3);
    assert_eq!(second["children"][0]["path"], parent.child("c").path);
    assert_eq!(second["after"], Value::Null);
    assert!(second["children"][0]["createdAt"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn everything_below_can_be_listed() {
    let parent = a_stream();
    for path in ["a/x", "a/y/z", "b"] {
        parent.child(path).say("x").await;
    }
    let wanted: Vec<String> = ["a", "a/x", "a/y", "a/y/z", "b"].iter().map(|path| parent.child(path).path).collect();

    let found = until("all are listed", || async {
        if parent.head().await.status != 200 {
            return None;
        }
        let mut paths = parent.child_paths("?recursive=true").await;
        paths.sort();
        (paths.len() == wanted.len()).then_some(paths)
    })
    .await;
    assert_eq!(found, wanted);

    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = parent.children(&format!("?recursive=true&limit=2{after}")).await;
        let children = page["children"].as_array().unwrap();
        assert!(children.len() <= 2);
        paged.extend(children.iter().map(|child| child["path"].as_str().unwrap().to_owned()));
        match page["after"].as_str() {
            Some(path) => after = format!("&after={path}"),
            None => break,
        }
    }
    paged.sort();
    assert_eq!(paged, wanted);
}

#[tokio::test]
async fn details_of_children_are_their_head_last_event_and_pause() {
    let parent = a_stream();
    let child = parent.child("a");
    child.say("x").await;
    child.say("stream.paused").await;
    lists(&parent, &["a"]).await;

    let details = parent.children("?details=true").await["children"][0].clone();

    assert_eq!((&details["head"], &details["paused"]), (&json!(3), &json!(true)));
    assert_eq!(details["lastEventAt"], child.events().await[2]["createdAt"]);
    let too_many = parent.client.get(&format!("/api/children{}?details=true&limit=51", parent.path)).await;
    assert_eq!(too_many.problem(400, "invalid_query")["field"], "limit");
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_its_parent_is_told() {
    let parent = a_stream();
    let child = parent.child("a");
    child.say("x").await;
    let generation = child.generation().await;
    lists(&parent, &["a"]).await;

    let answer = child.delete("").await.ok().json();

    assert_eq!(answer, json!({"streamPath": child.path, "generation": generation}));
    child.read("").await.problem(404, "stream_not_found");
    let told = parent.wait_for("stream.child-deleted").await;
    assert_eq!(told["payload"], json!({"path": child.path, "generation": generation}));
    lists(&parent, &[]).await;
}

#[tokio::test]
async fn a_deleted_path_can_be_born_again_and_remembers_nothing() {
    let stream = a_stream();
    let key = json!({"type": "a", "idempotencyKey": "k"});
    let _ = stream.append(json!({"type": "breaker.configured", "payload": {"limit": 5}})).await.ok();
    let _ = stream.append(key.clone()).await.ok();
    stream.say("stream.paused").await;
    let before = stream.generation().await;
    let _ = stream.delete("").await.ok();

    let again = stream.append(key).await;

    assert_eq!(again.header("tailrace-duplicate"), "");
    assert_eq!(again.offset(), 2);
    assert_ne!(stream.generation().await, before);
    let state = stream.state().await;
    assert_eq!((&state["paused"], &state["breaker"]["limit"]), (&Value::Null, &json!(100)));
}

#[tokio::test]
async fn a_parent_tells_the_lives_of_a_child_apart() {
    let parent = a_stream();
    let child = parent.child("a");
    let mut ended = Vec::new();
    for _ in 0..3 {
        child.say("x").await;
        ended.push(child.generation().await);
        let _ = child.delete("").await.ok();
    }
    child.say("x").await;
    let living = child.generation().await;

    let generations = async |event_type| {
        let events = parent.of_type(event_type).await;
        events.iter().map(|event| event["payload"]["generation"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("the parent heard of all", || async {
        if parent.head().await.status != 200 {
            return None;
        }
        let heard = generations("stream.child-created").await.contains(&living);
        (heard && generations("stream.child-deleted").await.len() == 3).then_some(())
    })
    .await;

    let mut deleted = generations("stream.child-deleted").await;
    deleted.sort();
    ended.sort();
    assert_eq!(deleted, ended);
    // News of a birth that comes behind the news of that death is passed over; none is told twice.
    let mut created = generations("stream.child-created").await;
    created.sort();
    created.dedup();
    assert_eq!(created.len(), parent.of_type("stream.child-created").await.len());
    assert_eq!(parent.child_paths("").await, [child.path]);
}

#[tokio::test]
async fn children_of_a_deleted_parent_live_on() {
    let parent = a_stream();
    let child = parent.child("a");
    child.say("x").await;
    lists(&parent, &["a"]).await;

    let _ = parent.delete("").await.ok();

    assert_eq!(child.say("y").await, 3);
    parent.say("again").await;
    lists(&parent, &["a"]).await;
}

#[tokio::test]
async fn a_whole_tree_is_deleted_bottom_up() {
    let root = a_stream();
    let grove = root.child("grove");
    let all: Vec<Stream> = ["a/1", "a/2", "b/1/x", "c"].iter().map(|path| grove.child(path)).collect();
    for stream in &all {
        stream.say("x").await;
    }
    lists(&grove, &["a", "b", "c"]).await;
    lists(&grove.child("a"), &["1", "2"]).await;
    lists(&grove.child("b"), &["1"]).await;
    lists(&grove.child("b").child("1"), &["x"]).await;
    let generation = grove.generation().await;

    let answer = grove.delete("?children=true").await;

    assert_eq!(answer.status, 202, "{answer}");
    assert_eq!(answer.json(), json!({"streamPath": grove.path, "generation": generation}));
    gone(&grove).await;
    for stream in &all {
        assert_eq!(stream.head().await.status, 404, "{} outlived its parent", stream.path);
    }
    root.wait_for("stream.child-deleted").await;
    assert_eq!(root.head().await.status, 200);
}

#[tokio::test]
async fn a_pause_for_the_children_holds_for_all_below_also_those_born_later() {
    let top = a_stream();
    let (old, deep) = (top.child("old"), top.child("old").child("deep"));
    deep.say("x").await;
    lists(&top, &["old"]).await;
    lists(&old, &["deep"]).await;

    let _ =
        top.append(json!({"type": "stream.paused", "payload": {"reason": "stop all", "children": true}})).await.ok();

    for stream in [&old, &deep] {
        let paused = stream.wait_for("stream.paused").await;
        assert_eq!(paused["payload"]["reason"], "stop all");
        assert!(paused["cause"]["streamPath"].is_string(), "{paused}");
        stream.append(json!({"type": "x"})).await.problem(423, "stream_paused");
    }
    let late = top.child("late");
    late.say("x").await;
    late.wait_for("stream.paused").await;

    let _ = top.append(json!({"type": "stream.resumed", "payload": {"children": true}})).await.ok();
    for stream in [&old, &deep, &late] {
        stream.wait_for("stream.resumed").await;
        stream.say("free").await;
    }
}

#[tokio::test]
async fn a_breaker_for_the_children_holds_for_all_below() {
    let top = a_stream();
    let child = top.child("a");
    child.say("x").await;
    lists(&top, &["a"]).await;

    let payload = json!({"limit": 7, "children": true});
    let _ = top.append(json!({"type": "breaker.configured", "payload": payload})).await.ok();
    let late = top.child("b");
    late.say("x").await;

    for stream in [&child, &late] {
        stream.wait_for("breaker.configured").await;
        assert_eq!(stream.state().await["breaker"]["limit"], 7);
    }
}

#[tokio::test]
async fn a_pause_without_children_is_for_the_stream_alone() {
    let top = a_stream();
    let child = top.child("a");
    child.say("x").await;
    lists(&top, &["a"]).await;

    top.say("stream.paused").await;

    // The parent still learns of births while it is paused.
    top.child("b").say("x").await;
    lists(&top, &["a", "b"]).await;
    assert_eq!(child.say("y").await, 3);
}

#[tokio::test]
async fn news_of_children_does_not_trip_the_breaker_of_their_parent() {
    let top = a_stream();
    let _ = top.append(json!({"type": "breaker.configured", "payload": {"limit": 2, "windowMs": 60_000}})).await.ok();

    for n in 0..6 {
        top.child(&format!("c{n}")).say("x").await;
    }

    lists(&top, &["c0", "c1", "c2", "c3", "c4", "c5"]).await;
    assert_eq!(top.state().await["paused"], Value::Null);
}

#[tokio::test]
async fn the_deepest_path_is_told_to_all_above() {
    let top = shared().client().stream(&format!("/{}", unique("t")));
    let deepest = (1..16).fold(top.clone(), |stream, n| stream.child(&n.to_string()));

    deepest.say("x").await;

    top.wait_for("stream.child-created").await;
}
