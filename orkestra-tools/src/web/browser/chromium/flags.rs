//! How Chromium is started: against what would not go through the proxy, and what a browser of nobody does not need.

pub(super) const FLAGS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-pipe",
    // By itself, Chromium connects to loopback and link-local addresses without its proxy.
    "--proxy-bypass-list=<-loopback>",
    // Names are for the proxy to resolve: a lookup by Chromium itself finds nothing.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--dns-prefetch-disable",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-features=WebRtcHideLocalIpsWithMdns,AsyncDns,DnsOverHttps,MediaRouter,OptimizationHints,Translate,HttpsUpgrades,\
     PreconnectToSearch,WebUSB,WebBluetooth,Serial,DialMediaRouteProvider,GlobalMediaControls,AutofillServerCommunication,\
     CertificateTransparencyComponentUpdater",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-file-system",
    "--disable-gpu",
    "--disable-notifications",
    "--disable-search-engine-choice-screen",
    "--disable-speech-api",
    "--disable-sync",
    "--deny-permission-prompts",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-first-run",
    "--no-pings",
    "--no-default-browser-check",
    "--password-store=basic",
    "--renderer-process-limit=8",
    "--window-size=1280,900",
];
