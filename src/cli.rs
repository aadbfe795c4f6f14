pub mod local_cloud;
