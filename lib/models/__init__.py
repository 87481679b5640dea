"""Model servers: what is sent to them, how their streams are read, what their errors mean, what an answer costs."""
