// The sections in the order in which a researcher asks.
const order = [["warnings", "Warnings", warningsOf], ["comparison", "Comparison", comparison], ...sheets("best"), ...sheets("goals"), ...sheets("savings"), ...sheets("models"), ["trade-off", "Trade-off", pareto], ["settings", "Settings", parallel],
  ["search", "Search", search], ...sheets("trials"), ["learning", "Learning", learning], ["proxy", "Proxy and gold", proxy], ["answers", "Answers", samples], ...sheets("runtimes"), ["stages", "Reuse", stages], ["failures", "Failures", failures], ["commands", "Commands", commands], ["machine", "Machine", machine]];
frame(headline(), order, "To the report");
