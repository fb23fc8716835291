package import HTTPTypes

extension HTTPFields {
  /// What the subscript gives; that joins even a single value, generically, which costs as much as parsing the field.
  package func value(_ name: HTTPField.Name) -> String? {
    let values = self[values: name]
    return values.count > 1 ? self[name] : values.first
  }
}
