//! The Container Runtime Interface, `runtime.v1`: what the kubelet says to containerd and CRI-O. Generated from
//! `proto/api.proto`, which is the Kubernetes project's own definition (k8s.io/cri-api, Apache-2.0).

#![expect(missing_docs, reason = "generated")]

tonic::include_proto!("runtime.v1");
