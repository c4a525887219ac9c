-- What this node learned of others and must not forget with its engine: nodes with their keys, their agents'
-- signed cards, which owner a plain id means. The words of `mesh-agents-mesh`, opaque here.
CREATE TABLE mesh_facts (
    kind TEXT NOT NULL,
    id   TEXT NOT NULL,
    body TEXT NOT NULL,               -- JSON
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
