"""Results. Detections and tracks come in; tables, data sets and answers to queries go out."""
