//! Holds nothing: the tests beside it replay journals without the engine.
