# driftd by Terraform: the chart of this repository, and its dashboards in Grafana.

terraform {
  required_version = ">= 1.5"
  required_providers {
    helm    = { source = "hashicorp/helm", version = "~> 2.17" }
    grafana = { source = "grafana/grafana", version = "~> 3.0" }
  }
}

variable "namespace" {
  description = "Where driftd runs."
  type        = string
  default     = "ml"
}

variable "config" {
  description = "driftd's own configuration, as in driftd.yaml."
  type        = any
}

variable "values" {
  description = "More values of the chart; they win."
  type        = any
  default     = {}
}

variable "dashboards" {
  description = "Whether Grafana gets the dashboards by its API; else the chart's ConfigMaps do it."
  type        = bool
  default     = true
}

resource "helm_release" "driftd" {
  name             = "driftd"
  namespace        = var.namespace
  create_namespace = true
  chart            = "${path.module}/../helm/driftd"
  atomic           = true
  values           = [yamlencode({ config = var.config }), yamlencode(var.values)]
}

resource "grafana_folder" "driftd" {
  count = var.dashboards ? 1 : 0
  title = "driftd"
}

resource "grafana_dashboard" "driftd" {
  for_each    = var.dashboards ? fileset("${path.module}/../grafana", "*.json") : []
  folder      = grafana_folder.driftd[0].uid
  config_json = file("${path.module}/../grafana/${each.value}")
}
