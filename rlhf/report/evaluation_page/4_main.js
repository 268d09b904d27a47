// The sections in the order of reading.
frame(head(), [["flags", "Flags", flags], ...told.suites.map((suite) => [`suite-${suite.name}`, suite.name, () => suiteSection(suite)]), ["answers", "Answers", samples], ["settings", "Settings", settings]], "To the evaluation");
