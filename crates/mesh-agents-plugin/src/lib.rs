//! The tools, defined once; shown over MCP, to the mesh-llm host, and to front-ends on the engine's socket.
