//! A2A on the wire: domain values to and from A2A 1.0, and the card each agent is served with.
