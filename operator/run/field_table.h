#pragma once

#include <span>
#include <string_view>

/// The shape of a SandboxRun as data: which fields each object has and what they hold. The decoder
/// checks documents against it, and a test compares it with the CRD's schema, so that a field
/// exists in both or in neither.
namespace sandboxrun::run {

enum class FieldKind {
  String,
  Enum,     ///< a string, one of `values`
  Integer,  ///< fits into 64 bits
  Boolean,
  Quantity,  ///< a string or a whole number, as Kubernetes writes amounts
  StringList,
  StringMap,
  Object,
  ObjectList,
  Any,  ///< not looked at
};

struct ObjectType;

struct Field {
  std::string_view name;
  FieldKind kind = FieldKind::String;
  const ObjectType* object = nullptr;             ///< of Object and ObjectList
  std::span<const std::string_view> values = {};  ///< of Enum
  bool required = false;
  bool local_only = false;  ///< known to the launcher, absent from the CRD
};

struct ObjectType {
  std::string_view name;  ///< for people: "an asset"
  std::span<const Field> fields;
  bool needs_one = false;  ///< an empty one means nothing
};

/// The whole document: apiVersion, kind, metadata, spec, status.
const ObjectType& document_type();
/// The value of `spec`.
const ObjectType& spec_type();

}  // namespace sandboxrun::run
