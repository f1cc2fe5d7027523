//! The OpenAPI document, made from the tables of routes and shapes.

use super::schema::{ID_CHARACTERS, SHAPES, Shape, WHOLE_MAX, field};
use super::table::{Does, Input, Method, Place, ROUTES, Route};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ComponentsBuilder, ObjectBuilder, SchemaType,
    Type,
};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Content, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, Schema,
};

/// What can go wrong, with the words of the document.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "It cannot be read."),
    ("401", "A key is needed."),
    ("403", "The host or the origin may not ask."),
    ("404", "Not found."),
    ("408", "It took too long to arrive."),
    ("409", "It does not fit how things stand."),
    ("413", "The body is too large."),
    ("415", "The body must be JSON."),
    ("422", "The request is wrong, or refused."),
    ("500", "Something went wrong here."),
    ("503", "A bound is reached; try again."),
    ("504", "The answer took too long."),
    ("507", "The disk is full."),
];

/// The whole document.
pub(super) fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Delete => HttpMethod::Delete,
        };
        paths = paths.path(route.path, PathItem::new(method, operation(route)));
    }
    let mut components = ComponentsBuilder::new();
    for (name, shape) in SHAPES {
        components = components.schema(*name, shape_schema(shape));
    }
    let key = ApiKeyValue::with_description("X-API-Key", "the text of $ALMA_HOME/api.key");
    components = components
        .security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)))
        .security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Alma")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "A private companion that plans, does and proves work on your own files.",
                ))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.build()))
        .security(Some([none("key"), none("bearer")]))
        .build()
}

fn none(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, [] as [String; 0])
}

fn operation(route: &Route) -> Operation {
    let mut made = OperationBuilder::new()
        .operation_id(Some(route.id()))
        .summary(Some(route.summary()))
        .tag(route.topic());
    for input in route.inputs {
        made = made.parameter(parameter(input));
    }
    if let Some(body) = route.body {
        let required = if route.body_may_be_absent() { Required::False } else { Required::True };
        made = made.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", Content::new(Some(kind_schema(body))))
                .required(Some(required))
                .build(),
        ));
    }
    let answer = || {
        ResponseBuilder::new()
            .description(route.summary())
            .content(route.media_type(), shaped(route))
    };
    made = match route.does {
        Does::Submit => {
            let key = ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(super::submit::KEY_BYTES_MAX))
                .pattern(Some("^[!-~]+$"));
            let place = HeaderBuilder::new().schema(Some(kind_schema("text"))).build();
            made.parameter(
                ParameterBuilder::new()
                    .name("Idempotency-Key")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some(
                        "Names this request: sent again under the same name it is the same \
                         mission; another request under the name is refused.",
                    ))
                    .schema(Some(key))
                    .build(),
            )
            .response("201", answer().header("Location", place).build())
            .response("200", answer().description("The same wish was not finished.").build())
        }
        Does::Events => made
            .parameter(
                ParameterBuilder::new()
                    .name("Last-Event-ID")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some("The number of the last event that was seen."))
                    .schema(Some(kind_schema("Count")))
                    .build(),
            )
            .response("200", answer().content("text/event-stream", stream()).build())
            .response("204", Response::new("The mission has ended and all of it was seen.")),
        _ => made.response("200", answer().build()),
    };
    if route.does == Does::Ready {
        made = made.response("503", answer().description("Something is not there.").build());
    }
    for (status, words) in PROBLEMS {
        if !(route.does == Does::Ready && *status == "503") {
            made = made.response(*status, problem(words));
        }
    }
    if !route.guarded() {
        made = made.securities(Some([]));
    }
    made.build()
}

/// What an answer holds. Events of a stream are documents of many shapes.
fn shaped(route: &Route) -> Content {
    match route.does {
        Does::Talk => stream(),
        _ => Content::new(Some(kind_schema(route.reply))),
    }
}

fn stream() -> Content {
    Content::new(None::<Schema>)
}

fn problem(words: &str) -> Response {
    ResponseBuilder::new()
        .description(words)
        .content("application/problem+json", Content::new(Some(kind_schema("Problem"))))
        .build()
}

fn parameter(input: &Input) -> Parameter {
    let (place, required) = match input.place {
        Place::Path => (ParameterIn::Path, Required::True),
        Place::Query => (ParameterIn::Query, Required::False),
    };
    ParameterBuilder::new()
        .name(input.name)
        .parameter_in(place)
        .required(required)
        .schema(Some(kind_schema(input.kind)))
        .build()
}

fn kind_schema(kind: &str) -> RefOr<Schema> {
    if let Some(kind) = kind.strip_suffix('?') {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        return Schema::from(AnyOfBuilder::new().item(kind_schema(kind)).item(null).build()).into();
    }
    if let Some(kind) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        return Schema::from(ArrayBuilder::new().items(kind_schema(kind)).build()).into();
    }
    let plain = |of: Type| Schema::from(ObjectBuilder::new().schema_type(of).build()).into();
    match kind {
        "text" => plain(Type::String),
        "whole" => plain(Type::Integer),
        "flag" => plain(Type::Boolean),
        "map" => plain(Type::Object),
        "any" => {
            let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
            Schema::from(any.build()).into()
        }
        name => RefOr::Ref(Ref::from_schema_name(name)),
    }
}

fn shape_schema(shape: &Shape) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let object = |fields: &'static [(&'static str, &'static str)]| {
        let mut made = ObjectBuilder::new();
        for (name, kind) in fields {
            let (name, required) = field(name);
            made = made.property(name, kind_schema(kind));
            if required {
                made = made.required(name);
            }
        }
        made
    };
    let made = match shape {
        Shape::Fields(fields) => object(fields),
        Shape::Closed(fields) => {
            object(fields).additional_properties(Some(AdditionalProperties::FreeForm(false)))
        }
        Shape::Choice(names) => text().enum_values(Some(names.iter().copied())),
        Shape::Id(prefix) => text().pattern(Some(format!("^{prefix}-[{ID_CHARACTERS}]{{16}}$"))),
        Shape::Digest => text().pattern(Some("^[0-9a-f]{64}$")),
        Shape::Place => text().pattern(Some(r"^[0-9]{1,9}(\.[0-9]{1,9})?$")),
        Shape::Range(least, most) => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(*least as f64))
            .maximum(Some((*most).min(WHOLE_MAX) as f64)),
    };
    Schema::from(made.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_document() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut found = 0;
        for route in ROUTES {
            let method = route.method.as_str().to_lowercase();
            let operation = &paths[route.path][&method];
            assert_eq!(operation["operationId"], route.id());
            assert_eq!(operation["responses"]["422"]["content"].as_object().unwrap().len(), 1);
            found += 1;
        }
        let listed: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(listed, found);
    }
}
