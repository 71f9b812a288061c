use super::*;
use crate::model::domain::Selector;
use crate::model::{Fail, Learn, Mode};
use crate::xml::limits;

/// A domain as a hook gets it, with much in it that is none of our business.
const DOMAIN: &str = r"<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web &amp; mail</name>
  <uuid>9B5D4F6E0F1C4C3B8F0A2F5D1F3C7A10</uuid>
  <metadata>
    <o:thing xmlns:o='urn:other'><o:firewall><interface type='bridge'/></o:firewall></o:thing>
    <f:firewall xmlns:f='urn:filter-ctl:profile:1' mode='libvirt'>
      <f:reference profile='no-vlan'/>
      <f:interface mac='52:54:00:12:34:56' fail='open' learn='dhcp' learn_max='2' prefix='192.0.2.0/24,2001:db8::/64'
                   dhcp_server='192.0.2.1' flows_max='64' pickup='loose' count_values='yes'>
        <f:reference profile='generic-layer2' ip_address='192.0.2.10 2001:db8::10' DNS='192.0.2.53'>
          <f:parameter name='DNS' value='192.0.2.54'/>
        </f:reference>
        <f:parameter name='mac_address' value='52:54:00:12:34:57'/>
      </f:interface>
      <f:interface alias='net1'><f:reference profile='own-mac-only'/></f:interface>
      <f:interface dev='mytap1' hotplug='yes'/>
    </f:firewall>
  </metadata>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'>
      <mac address='52:54:00:12:34:56'/>
      <source bridge='br0'/>
      <target dev='vnet7'/>
      <model type='virtio'/>
      <filterref filter='clean-traffic'>
        <parameter name='IP' value='192.0.2.10'/>
        <parameter name='IP' value='192.0.2.11'/>
      </filterref>
      <alias name='net0'/>
    </interface>
    <interface type='hostdev'><source><address type='pci'/></source></interface>
    <qemu:interface type='bridge'/>
  </devices>
  <qemu:commandline><qemu:arg value='-name'/></qemu:commandline>
</domain>
";

#[test]
fn of_a_domain_its_ports_are_read() {
    let domain = parse(DOMAIN).unwrap();
    assert_eq!(
        (domain.name.as_str(), domain.uuid.as_str()),
        ("web & mail", "9b5d4f6e-0f1c-4c3b-8f0a-2f5d1f3c7a10")
    );
    let [bridged, passed] = domain.interfaces.as_slice() else { panic!("{:?}", domain.interfaces) };
    assert_eq!(bridged.to_string(), "interface 52:54:00:12:34:56 (net0, vnet7)");
    assert_eq!((bridged.kind.as_str(), bridged.source.as_deref()), ("bridge", Some("br0")));
    let filter = bridged.filter.as_ref().unwrap();
    assert_eq!((filter.filter.as_str(), filter.parameters[0].values.len()), ("clean-traffic", 2));
    assert_eq!(
        (passed.kind.as_str(), passed.to_string().as_str()),
        ("hostdev", "interface without a MAC address")
    );

    let firewall = domain.firewall.unwrap();
    assert_eq!(firewall.all.settings.mode, Some(Mode::Libvirt));
    assert_eq!(firewall.all.references[0].profile.as_str(), "no-vlan");
    let [one, two, three] = firewall.interfaces.as_slice() else { panic!("{:?}", firewall.interfaces) };
    assert_eq!(one.selector, Selector::Mac("52:54:00:12:34:56".parse().unwrap()));
    let settings = &one.policy.settings;
    assert_eq!(
        (settings.fail, settings.learn, settings.learn_max),
        (Some(Fail::Open), Some(Learn::Dhcp), Some(2))
    );
    assert_eq!((settings.prefixes.len(), settings.servers.len()), (2, 1));
    assert_eq!((settings.flows_max, settings.count_values), (Some(64), Some(true)));
    let reference = &one.policy.references[0];
    assert_eq!(reference.parameters.addresses.len(), 2);
    assert_eq!(reference.parameters.others["DNS"], ["192.0.2.53", "192.0.2.54"]);
    assert_eq!(one.policy.parameters.mac.map(|mac| mac.to_string()).as_deref(), Some("52:54:00:12:34:57"));
    assert_eq!((&two.selector, two.hotplug), (&Selector::Alias("net1".to_owned()), false));
    assert_eq!((&three.selector, three.hotplug), (&Selector::Device("mytap1".to_owned()), true));
}

#[test]
fn nothing_of_ours_is_passed_over() {
    for (from, to, error) in [
        ("f:firewall", "f:firewal", "the element `firewal`, expected the element `firewall`"),
        ("mode='libvirt'", "mode='lax'", "6:58: `mode`: found `lax`, expected `strict` or `libvirt`"),
        ("mode='libvirt'", "f:mode='strict'", "the attribute `mode` on `firewall`, expected mode, fail,"),
        ("mode='libvirt'", "profile='no-vlan'", "the attribute `profile` in no namespace on `firewall`"),
        ("<f:reference profile='no-vlan'/>", "<f:reference/>", "7:7: found `reference` to nothing"),
        (
            "<f:reference profile='no-vlan'/>",
            "<reference profile='x'/>",
            "the element `reference` in no namespace",
        ),
        ("<f:reference profile='no-vlan'/>", "no-vlan", "7:7: found text in `firewall`"),
        ("<f:reference profile='no-vlan'/>", "<f:reference profile='../x'/>", "expected a profile name"),
        (
            "<f:reference profile='no-vlan'/>",
            "<f:profile name='x'/>",
            "the element `profile`, expected one of",
        ),
        ("alias='net1'", "alias='net1' dev='a'", "with 2 of `mac`, `dev` and `alias`, expected one"),
        ("alias='net1'", "", "with 0 of `mac`, `dev` and `alias`"),
        (
            "alias='net1'",
            "mac='52:54:0:12:34:56'",
            "a second `interface` of the MAC address 52:54:00:12:34:56",
        ),
        ("alias='net1'", "mac='01:00:5e:00:00:01'", "the MAC address of one station"),
        ("alias='net1'", "dev='a/b'", "the name of a network device"),
        ("learn='dhcp'", "learn='all'", "`learn`: found `all`, expected `any`, `dhcp` or `none`"),
        ("learn_max='2'", "learn_max='9'", "a number from 1 to 8"),
        ("flows_max='64'", "flows_max='0'", "a number from 1 to 2097152"),
        ("dhcp_server='192.0.2.1'", "dhcp_server=' '", "at least one value"),
        ("prefix='192.0.2.0/24,", "prefix='192.0.2.0/33,", "`prefix`: found `192.0.2.0/33`"),
        ("count_values='yes'", "count_values='1'", "`yes` or `no`"),
        ("192.0.2.10 2001", "192.0.2.0/24 2001", "an IP address"),
        (" DNS=", " D-NS=", "name of a parameter: found `D-NS`"),
        ("value='192.0.2.54'", "value='$X'", "`DNS`: found `$X`"),
        ("value='192.0.2.54'/>", "/>", "without both attributes"),
        ("</f:firewall>", "</f:firewall><f:x xmlns:f='urn:filter-ctl:profile:1'/>", "a second element, `x`"),
    ] {
        let text = DOMAIN.replace(from, to);
        assert_ne!(text, DOMAIN, "{from}");
        let found = parse(&text).unwrap_err().to_string();
        assert!(found.contains(error), "{from} → {to}: {found}");
    }
}

#[test]
fn what_is_no_domain_is_refused() {
    for (text, error) in [
        ("", "1:1: found no element"),
        ("<domain><name>a</name>", "found no end of the element `domain`"),
        ("<network/>", "1:1: found the element `network`, expected the root element `domain`"),
        ("<d:domain xmlns:d='urn:x'/>", "expected the root element `domain`"),
        ("<domain><uuid/></domain>", "found `domain` without `name`"),
        ("<domain><name> </name></domain>", "found `domain` without `name`"),
        ("<domain><name>a</name></domain>", "found `domain` without `uuid`"),
        ("<domain><name>a</name><uuid>7</uuid></domain>", "1:29: `uuid`: found `7`"),
        ("<!DOCTYPE domain><domain/>", "found a document type"),
        ("<domain><name>&x;</name></domain>", "found the reference `&x;`"),
    ] {
        let found = parse(text).unwrap_err().to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
    let of = |devices: &str| {
        parse(&format!("<domain><name>a</name><uuid>{}</uuid>{devices}</domain>", "00".repeat(16)))
    };
    assert_eq!(of("").map(|domain| (domain.interfaces.len(), domain.firewall)), Ok((0, None)));
    for (interface, error) in
        [("<mac address='x'/>", "`address`: found `x`"), ("<target dev='a b'/>", "`dev`: found `a b`")]
    {
        let found = of(&format!("<devices><interface>{interface}</interface></devices>")).unwrap_err();
        assert!(found.to_string().contains(error), "{found}");
    }
    let deep =
        format!("<metadata>{}{}</metadata>", "<a>".repeat(limits::DEPTH), "</a>".repeat(limits::DEPTH));
    assert!(of(&deep).unwrap_err().to_string().contains("nested more than 32 deep"));
    let wide = format!("<devices>{}</devices>", "<interface/>".repeat(limits::ELEMENTS));
    assert!(of(&wide).unwrap_err().to_string().contains("more than 400000 elements"));
    let long = format!("<description>{}</description>", "x".repeat(limits::DOCUMENT as usize));
    assert!(of(&long).unwrap_err().to_string().contains("expected at most 8388608"));
}
