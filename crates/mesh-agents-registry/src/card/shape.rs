//! What an A2A 1.0 Agent Card is made of (a2a.md §1.2): one table, by which cards are checked and
//! from which their JSON Schema is written.

/// What belongs into a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A text on one line, with something in it.
    Line,
    /// A text that may have several lines, with something in it.
    Prose,
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// At least one text on one line.
    Lines,
    /// Texts, none too.
    Texts,
    /// An object.
    Object(&'static Shape),
    /// At least one object.
    Objects(&'static Shape),
    /// Objects, none too.
    AnyObjects(&'static Shape),
    /// Objects under names of the author's.
    Map(&'static Shape),
    /// Texts under names of the author's.
    TextMap,
    /// A list of requirements, which the A2A types read.
    Requirements,
    /// An object of any content.
    Free,
}

/// A field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) kind: Kind,
    /// What it is for, in a few words.
    pub(crate) about: &'static str,
    /// JSON that may stand there when nothing better is known; `{id}` is the agent's id and
    /// `{name}` a readable form of it. Empty when only the author can say.
    pub(crate) sample: &'static str,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name in A2A.
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    /// Fields of A2A 0.3.
    pub(crate) old: &'static [Old],
    /// Exactly one of the fields is there.
    pub(crate) one_of: bool,
}

/// A field A2A 0.3 had and 1.0 has not.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) name: &'static str,
    /// What to do about it.
    pub(crate) fix: &'static str,
    pub(crate) repair: OldRepair,
}

/// What a program does about a field of A2A 0.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldRepair {
    /// It goes.
    Remove,
    /// It goes when it says nothing: `false` or an empty list.
    RemoveIfEmpty,
    /// It gets this name, or goes when that is there already.
    Rename(&'static str),
    /// It becomes the first interface, or goes when there are interfaces already.
    Interface,
}

const fn must(name: &'static str, kind: Kind, sample: &'static str, about: &'static str) -> Field {
    Field {
        name,
        required: true,
        kind,
        about,
        sample,
    }
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        required: false,
        kind,
        about,
        sample: "",
    }
}

const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape {
        name,
        fields,
        old: &[],
        one_of: false,
    }
}

const fn one_of(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape {
        name,
        fields,
        old: &[],
        one_of: true,
    }
}

const fn old(name: &'static str, repair: OldRepair, fix: &'static str) -> Old {
    Old { name, fix, repair }
}

/// The card itself.
pub(crate) const CARD: Shape = Shape {
    name: "AgentCard",
    fields: &[
        must(
            "name",
            Kind::Line,
            "\"{name}\"",
            "What people call the agent.",
        ),
        must(
            "description",
            Kind::Prose,
            "\"{name}: works on the task it is sent and answers with a summary.\"",
            "What it does, for whoever chooses an agent: people and models.",
        ),
        must(
            "version",
            Kind::Line,
            "\"0.1.0\"",
            "The version of this agent, not of A2A.",
        ),
        must(
            "supportedInterfaces",
            Kind::Objects(&INTERFACE),
            "[\n    {\n      \"url\": \"http://127.0.0.1:3131/a2a/agents/{id}\",\n      \"protocolBinding\": \"JSONRPC\",\n      \"protocolVersion\": \"1.0\"\n    }\n  ]",
            "A draft: the node serves its own addresses. For type = \"remote\" it is what is called.",
        ),
        must(
            "capabilities",
            Kind::Object(&CAPABILITIES),
            "{ \"streaming\": true }",
            "What of A2A it can do; the node serves its own answer.",
        ),
        must(
            "defaultInputModes",
            Kind::Lines,
            "[\"text/plain\"]",
            "Media types it takes.",
        ),
        must(
            "defaultOutputModes",
            Kind::Lines,
            "[\"text/markdown\"]",
            "Media types of what it makes.",
        ),
        must(
            "skills",
            Kind::Objects(&SKILL),
            "[\n    {\n      \"id\": \"{id}\",\n      \"name\": \"{name}\",\n      \"description\": \"Works on the task it is sent and answers with a summary.\",\n      \"tags\": [\"general\"]\n    }\n  ]",
            "What it can be asked for.",
        ),
        may("provider", Kind::Object(&PROVIDER), "Who offers it."),
        may("documentationUrl", Kind::Text, "Where it is documented."),
        may("iconUrl", Kind::Text, "A picture of it."),
        may(
            "securitySchemes",
            Kind::Map(&SECURITY_SCHEME),
            "How callers may show who they are, by name.",
        ),
        may(
            "securityRequirements",
            Kind::Requirements,
            "Which of the schemes a caller has to use.",
        ),
        may(
            "signatures",
            Kind::AnyObjects(&SIGNATURE),
            "Signatures of the card.",
        ),
    ],
    old: &[
        old(
            "url",
            OldRepair::Interface,
            "move it to supportedInterfaces[0].url",
        ),
        old(
            "preferredTransport",
            OldRepair::Remove,
            "write it as supportedInterfaces[0].protocolBinding, such as \"JSONRPC\"",
        ),
        old(
            "additionalInterfaces",
            OldRepair::Remove,
            "list them in supportedInterfaces, each with url, protocolBinding and protocolVersion",
        ),
        old(
            "protocolVersion",
            OldRepair::Remove,
            "write supportedInterfaces[0].protocolVersion = \"1.0\" instead",
        ),
        old(
            "supportsAuthenticatedExtendedCard",
            OldRepair::RemoveIfEmpty,
            "write capabilities.extendedAgentCard instead",
        ),
        old(
            "security",
            OldRepair::RemoveIfEmpty,
            "write securityRequirements instead",
        ),
        old("kind", OldRepair::Remove, "remove it"),
    ],
    one_of: false,
};

const INTERFACE: Shape = Shape {
    name: "AgentInterface",
    fields: &[
        must(
            "url",
            Kind::Line,
            "\"http://127.0.0.1:3131/a2a/agents/{id}\"",
            "Where it is called.",
        ),
        must(
            "protocolBinding",
            Kind::Line,
            "\"JSONRPC\"",
            "How: JSONRPC, HTTP+JSON, GRPC, or a URI of another binding.",
        ),
        must(
            "protocolVersion",
            Kind::Line,
            "\"1.0\"",
            "The version of A2A spoken there.",
        ),
        may("tenant", Kind::Text, "What callers send along as `tenant`."),
    ],
    old: &[old(
        "transport",
        OldRepair::Rename("protocolBinding"),
        "write protocolBinding instead",
    )],
    one_of: false,
};

const CAPABILITIES: Shape = Shape {
    name: "AgentCapabilities",
    fields: &[
        may("streaming", Kind::Flag, "Whether it streams."),
        may(
            "pushNotifications",
            Kind::Flag,
            "Whether it sends push notifications.",
        ),
        may(
            "extendedAgentCard",
            Kind::Flag,
            "Whether callers it knows get a longer card.",
        ),
        may(
            "extensions",
            Kind::AnyObjects(&EXTENSION),
            "Extensions of A2A it knows.",
        ),
    ],
    old: &[old(
        "stateTransitionHistory",
        OldRepair::Remove,
        "remove it",
    )],
    one_of: false,
};

const EXTENSION: Shape = shape(
    "AgentExtension",
    &[
        must("uri", Kind::Text, "", "Which extension."),
        may("description", Kind::Text, "What it is used for."),
        may("required", Kind::Flag, "Whether callers must know it."),
        may(
            "params",
            Kind::Free,
            "What the extension says belongs here.",
        ),
    ],
);

const SKILL: Shape = Shape {
    name: "AgentSkill",
    fields: &[
        must("id", Kind::Line, "\"{id}\"", "Its id, once in a card."),
        must("name", Kind::Line, "\"{name}\"", "What people call it."),
        must(
            "description",
            Kind::Prose,
            "\"Works on the task it is sent and answers with a summary.\"",
            "What it takes and what it leaves.",
        ),
        must(
            "tags",
            Kind::Lines,
            "[\"general\"]",
            "Words it is found by.",
        ),
        may("examples", Kind::Texts, "Messages that ask for it."),
        may(
            "inputModes",
            Kind::Texts,
            "Media types it takes, when not the default.",
        ),
        may(
            "outputModes",
            Kind::Texts,
            "Media types it makes, when not the default.",
        ),
        may(
            "securityRequirements",
            Kind::Requirements,
            "What it wants of a caller.",
        ),
    ],
    old: &[old(
        "security",
        OldRepair::RemoveIfEmpty,
        "write securityRequirements instead",
    )],
    one_of: false,
};

const PROVIDER: Shape = shape(
    "AgentProvider",
    &[
        must("organization", Kind::Text, "", "Who."),
        must("url", Kind::Text, "", "Where they are found."),
    ],
);

const SIGNATURE: Shape = shape(
    "AgentCardSignature",
    &[
        must(
            "protected",
            Kind::Text,
            "",
            "The protected header, base64url.",
        ),
        must("signature", Kind::Text, "", "The signature, base64url."),
        may("header", Kind::Free, "The unprotected header."),
    ],
);

const ABOUT: Field = may("description", Kind::Text, "What it is.");

const SECURITY_SCHEME: Shape = one_of(
    "SecurityScheme",
    &[
        may(
            "apiKeySecurityScheme",
            Kind::Object(&shape(
                "APIKeySecurityScheme",
                &[
                    must("location", Kind::Text, "", "query, header or cookie."),
                    must("name", Kind::Text, "", "The name of the parameter."),
                    ABOUT,
                ],
            )),
            "A key.",
        ),
        may(
            "httpAuthSecurityScheme",
            Kind::Object(&shape(
                "HTTPAuthSecurityScheme",
                &[
                    must("scheme", Kind::Text, "\"Bearer\"", "Such as Bearer."),
                    may("bearerFormat", Kind::Text, "Such as JWT."),
                    ABOUT,
                ],
            )),
            "HTTP authentication.",
        ),
        may(
            "oauth2SecurityScheme",
            Kind::Object(&shape(
                "OAuth2SecurityScheme",
                &[
                    must("flows", Kind::Object(&FLOWS), "", "The one flow."),
                    may("oauth2MetadataUrl", Kind::Text, "Where its metadata is."),
                    ABOUT,
                ],
            )),
            "OAuth 2.0.",
        ),
        may(
            "openIdConnectSecurityScheme",
            Kind::Object(&shape(
                "OpenIdConnectSecurityScheme",
                &[
                    must(
                        "openIdConnectUrl",
                        Kind::Text,
                        "",
                        "The discovery document.",
                    ),
                    ABOUT,
                ],
            )),
            "OpenID Connect.",
        ),
        may(
            "mtlsSecurityScheme",
            Kind::Object(&shape("MutualTlsSecurityScheme", &[ABOUT])),
            "Mutual TLS.",
        ),
    ],
);

const AUTHORIZATION_URL: Field = must("authorizationUrl", Kind::Text, "", "Where one logs in.");
const TOKEN_URL: Field = must("tokenUrl", Kind::Text, "", "Where tokens are.");
const REFRESH_URL: Field = may("refreshUrl", Kind::Text, "Where tokens are renewed.");
const SCOPES: Field = must(
    "scopes",
    Kind::TextMap,
    "{}",
    "Scopes, each with what it is.",
);

const FLOWS: Shape = one_of(
    "OAuthFlows",
    &[
        may(
            "authorizationCode",
            Kind::Object(&shape(
                "AuthorizationCodeOAuthFlow",
                &[
                    AUTHORIZATION_URL,
                    TOKEN_URL,
                    SCOPES,
                    REFRESH_URL,
                    may("pkceRequired", Kind::Flag, "Whether PKCE is required."),
                ],
            )),
            "Authorization code.",
        ),
        may(
            "clientCredentials",
            Kind::Object(&shape(
                "ClientCredentialsOAuthFlow",
                &[TOKEN_URL, SCOPES, REFRESH_URL],
            )),
            "Client credentials.",
        ),
        may(
            "deviceCode",
            Kind::Object(&shape(
                "DeviceCodeOAuthFlow",
                &[
                    must(
                        "deviceAuthorizationUrl",
                        Kind::Text,
                        "",
                        "Where a device asks.",
                    ),
                    TOKEN_URL,
                    SCOPES,
                    REFRESH_URL,
                ],
            )),
            "Device code.",
        ),
        may(
            "implicit",
            Kind::Object(&shape(
                "ImplicitOAuthFlow",
                &[AUTHORIZATION_URL, SCOPES, REFRESH_URL],
            )),
            "Deprecated.",
        ),
        may(
            "password",
            Kind::Object(&shape(
                "PasswordOAuthFlow",
                &[TOKEN_URL, SCOPES, REFRESH_URL],
            )),
            "Deprecated.",
        ),
    ],
);
