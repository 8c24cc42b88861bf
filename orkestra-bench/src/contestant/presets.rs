//! Command lines of other agents that were tried with the image of `docker/peers/build`.

/// Names and command lines. Each reads the objective from `$OBJECTIVE_FILE`, asks `$MODEL` at `$OPENAI_API_BASE`, never asks a
/// person, and keeps its own files out of the workspace where it can. aider does not commit: it would ask the model for a message
/// each time, and nothing of that is graded.
const PRESETS: [(&str, &str); 2] = [
    (
        "aider",
        "LITELLM_LOCAL_MODEL_COST_MAP=True aider --yes-always --model \"openai/$MODEL\" --message-file \"$OBJECTIVE_FILE\" \
         --no-check-update --no-show-release-notes --analytics-disable --no-show-model-warnings --no-detect-urls --no-gitignore \
         --no-fancy-input --no-pretty --no-auto-commits --chat-history-file /tmp/aider.chat --input-history-file /tmp/aider.input\n\
         code=$?\nrm -rf .aider*\nexit $code",
    ),
    (
        "mini-swe-agent",
        "LITELLM_LOCAL_MODEL_COST_MAP=True MSWEA_CONFIGURED=true MSWEA_SILENT_STARTUP=1 MSWEA_COST_TRACKING=ignore_errors \
         MSWEA_GLOBAL_CONFIG_DIR=/tmp/mini mini --yolo --exit-immediately --cost-limit 0 \
         --model \"openai/$MODEL\" --output /tmp/mini/trajectory.json --task \"$(cat \"$OBJECTIVE_FILE\")\"",
    ),
];

/// The command line of a name, or the text itself.
pub(super) fn command_line(command: &str) -> &str {
    let preset = PRESETS.iter().find(|(name, _)| *name == command.trim());
    preset.map_or(command, |(_, line)| *line)
}

/// The names that stand for a command line.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}
