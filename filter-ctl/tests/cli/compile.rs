//! `compile`: what profiles are compiled to, and what a packet costs.

use filter_tests::cli::with_operator;
use filter_tests::net;
use filter_tests::rulesets::{Flavour, RuleSet};

use super::FILTER_CTL;

#[test]
fn what_is_compiled_is_what_is_attached() {
    with_operator(FILTER_CTL, "compile", |operator| {
        let compiled = operator.json("compile generic-layer2");
        let _tap = net::tap("vm0");
        let attached = operator.json("attach vm0 --profile generic-layer2");
        assert_eq!(compiled["nodes"], attached["nodes"]);
        assert_eq!(compiled["rules"], attached["rules"]);
        assert_eq!(compiled["most_steps"], attached["depth"]);
        assert_eq!(compiled["bytes"].as_u64(), compiled["nodes"].as_u64().map(|nodes| 16 * nodes));

        let graphs = compiled["graphs"].as_array().unwrap();
        let packets: usize = graphs.iter().map(|graph| graph["packets"].as_array().unwrap().len()).sum();
        assert_eq!(packets, 24, "each class of packets in each direction has a graph, and only one");
        for graph in graphs {
            let steps = |key: &str| graph[key].as_f64().unwrap();
            assert!(1.0 <= steps("mean_steps") && steps("mean_steps") <= steps("seen_steps"), "{graph}");
            assert!(steps("seen_steps") <= steps("most_steps"), "{graph}");
            assert!(graph["ways"].as_u64() >= graph["rules"].as_u64(), "{graph}");
        }

        let text = operator.ok("compile generic-layer2 --explain");
        assert!(text.contains("39 rules in") && text.contains("out ipv4-tcp"), "{text}");
        assert!(!text.contains("several follow each other"), "{text}");
        assert!(!operator.ok("compile generic-layer2").contains("WAYS"));
    });
}

#[test]
fn a_row_of_graphs_is_explained() {
    with_operator(FILTER_CTL, "compile_row", |operator| {
        let wild = RuleSet::generate(Flavour::Wild, 300, 7);
        let file = operator.file("wild.xml", wild.to_xml());
        operator.ok(&format!("create {file}"));
        let name = wild.to_profile().name;
        let text = operator.ok(&format!("compile {name} --explain"));
        assert!(text.contains("several follow each other"), "{text}");
        let compiled = operator.json(&format!("compile {name}"));
        assert!(compiled["graphs"].as_array().unwrap().iter().any(|graph| graph["why"] != ""), "{compiled}");
        operator.fails("compile nothing-of-that-name", 3);
    });
}
