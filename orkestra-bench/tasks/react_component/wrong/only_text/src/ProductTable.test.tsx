test("everything", () => {});
